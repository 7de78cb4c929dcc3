/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0 */

#include "manager/c/sessions_for_test.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "manager/c/instar.h"

struct session* OpenSession(int number) {
  struct session* const session = malloc(sizeof(struct session));
  session->number = number;
  return session;
}

void CloseSession(struct session* session) { free(session); }

void Hit(struct session* session) {
  printf("hit %d\n", session->number);
  fflush(stdout);
}

static void AwaitInput(void) {
  struct pollfd input = {0, POLLIN, 0};
  while (1) {
    instar_region region;
    int ready;
    instar_blocking_enter(&region, NULL);
    ready = poll(&input, 1, -1);
    if (instar_blocking_leave(&region) && ready < 0 && errno == EINTR) continue;
    return;
  }
}

void Serve(void* unused) {
  static struct session* sessions[10];
  char line[3];
  (void)unused;
  while (1) {
    struct session** session;
    AwaitInput();
    if (read(0, line, 3) != 3) return;
    session = &sessions[line[1] - '0'];
    switch (line[0]) {
      case 'o':
        *session = OpenSession(line[1] - '0');
        break;
      case 'h':
        Hit(*session);
        break;
      case 'c':
        CloseSession(*session);
        break;
    }
    instar_update_point(NULL);
  }
}
