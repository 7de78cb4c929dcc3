/* Copyright The Instar Authors
   SPDX-License-Identifier: Apache-2.0

   A function that has a handler registered: one of the program, and one of the
   update. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

int chain(int x);

static void at_end(void) { printf("at the end: %d\n", chain(0)); }
#if VERSION > 0
static void of_update(void) { printf("the update's: %d\n", chain(100)); }
static void before_fork(void) { printf("before fork\n"); }
#endif

int chain(int x) {
  static int calls;
  if (x == 1) {
    calls++;
#if VERSION > 0
    atexit(of_update);
    pthread_atfork(before_fork, 0, 0);
#endif
    atexit(at_end);
    at_quick_exit(at_end);
  }
  return x + calls + 1000 * VERSION;
}
