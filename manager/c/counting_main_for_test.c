/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0 */

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "manager/c/counting_for_test.h"
#include "manager/c/instar.h"

static int begin = 0;

static void* CountOnThread(void* unused) {
  (void)unused;
  instar_run_controlled("counter", INSTAR_PASSIVE, Count, &begin);
  return NULL;
}

/* With an argument: main() ends first, and then the thread that counts. */
int main(int argc, char** argv) {
  pthread_t thread;
  const char* error = instar_start("counting");
  if (error != NULL) return fprintf(stderr, "%s\n", error), 1;
  error = instar_start("again");
  if (error == NULL || strstr(error, "already") == NULL) return 2;
  if (strchr(instar_version(), '.') == NULL) return 3;
  if (instar_find_exposed("count", sizeof(int)) != NULL) return 4;
  (void)argv;
  if (argc > 1) {
    if (pthread_create(&thread, NULL, CountOnThread, NULL) != 0) return 5;
    pthread_detach(thread);
    pthread_exit(NULL);
  }
  CountOnThread(NULL);
  return 0;
}
