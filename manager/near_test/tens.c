/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * Counts by tens; uses what counting.c keeps to itself. */

#include ADDRESSES

#include "manager/near_test/by_hand.h"

GENERATED_MODULE("tens");
IMAGE("the program", PROGRAM_BUILD_ID);
REDEFINE(PROGRAM_AT_near_count, near_count, 0, 0, "near_count");
#ifdef ONLY_WATCHING
REDEFINE(PROGRAM_AT_near_wait, 0, 0, WAIT_FLAGS, "near_wait");
#else
REDEFINE(PROGRAM_AT_near_wait, near_wait, 0, WAIT_FLAGS, "near_wait");
#endif

int* near_counter_pointer = (int*)1; /* its bytes lie in the file */
IMPORT_INTO(near_counter_pointer, PROGRAM_AT_near_counter, 0, "near_counter");

#ifdef MAY_BE_OTHER /* the C library has another */
__asm__(IMPORT_("0", PROGRAM_AT_near_counter, "0", "6", 0, "abs"));
#endif

DEBUG_VARIABLE("near_counter_as_seen_here", PROGRAM_AT_near_counter, 0);

int near_tens_counted; /* of this module: a later one uses it */

/* By a pointer that the dynamic linker relocates. */
static int Ten(void) { return 10; }
int (*near_ten_pointer)(void) = &Ten;

__attribute__((noinline)) int near_tens(void) { return near_ten_pointer(); }

int near_count(void) {
  int (*const step)(void) =
      (int (*)(void))IMPORTED(PROGRAM_AT_near_step, 0, "near_step");
  int* const counter =
      (int*)IMPORTED(PROGRAM_AT_near_counter, 0, "near_counter");
  if (counter != near_counter_pointer) __builtin_trap();
  __atomic_add_fetch(&near_tens_counted, 1, __ATOMIC_RELAXED);
  return __atomic_add_fetch(counter, near_tens() * step(), __ATOMIC_RELAXED);
}

int near_wait(void (*stay)(void*), void* argument) {
  stay(argument);
  return 2;
}
