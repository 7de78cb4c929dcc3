/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0 */

#include "manager/c/counting_for_test.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "manager/c/instar.h"

int NextLine(void) {
  struct pollfd input = {0, POLLIN, 0};
  char line;
  while (1) {
    instar_region region;
    int ready;
    instar_blocking_enter(&region, "between lines");
    ready = poll(&input, 1, -1);
    if (instar_blocking_leave(&region) && ready < 0 && errno == EINTR) continue;
    break;
  }
  do {
    if (read(0, &line, 1) != 1) return 0;
  } while (line != '\n');
  return 1;
}

/* Inlined nowhere: it is redefined by its name. */
__attribute__((noinline)) static const char* Unit(int count) {
  return count == 1 ? "line" : "lines";
}

void Count(void* begin) {
  int count = *(int*)begin;
  INSTAR_EXPOSE(count);
  while (NextLine()) {
    instar_update_point("between lines");
    instar_no_update_begin();
    ++count;
    printf("%d %s\n", count, Unit(count));
    fflush(stdout);
    instar_no_update_end();
  }
}
