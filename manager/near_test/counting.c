/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0 */

#include "manager/near_test/counting.h"

int near_hook_calls;

static int near_counter;
static __thread int near_calls_of_thread;

__attribute__((noinline)) static int near_step(void) {
  ++near_calls_of_thread;
  return 1;
}

int near_count(void) {
  return __atomic_add_fetch(&near_counter, near_step(), __ATOMIC_RELAXED);
}

static int (*near_pointer)(void) = &near_count;

int (*near_count_pointer(void))(void) { return near_pointer; }

int near_wait(void (*stay)(void*), void* argument) {
  stay(argument);
  return 1;
}

int near_check(int value) { return value; }
