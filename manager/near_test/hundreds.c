/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * Comes on top of tens.c: changes what that has brought. */

#include ADDRESSES

#include "manager/near_test/by_hand.h"

GENERATED_MODULE("hundreds");
IMAGE("the program", PROGRAM_BUILD_ID);
IMAGE("tens.so", TENS_BUILD_ID);
REDEFINE(PROGRAM_AT_near_count, near_count, 0, 0, "near_count");
REDEFINE(TENS_AT_near_tens, near_tens, 1, 0, "near_tens");

int near_tens(void) { return 100; }

int near_count(void) {
  int* const counter =
      (int*)IMPORTED(PROGRAM_AT_near_counter, 0, "near_counter");
  int* const counted =
      (int*)IMPORTED(TENS_AT_near_tens_counted, 1, "near_tens_counted");
  int (*const tens)(void) =
      (int (*)(void))IMPORTED(TENS_AT_near_tens, 1, "near_tens");
  __atomic_add_fetch(counted, 1, __ATOMIC_RELAXED);
  return __atomic_add_fetch(counter, tens(), __ATOMIC_RELAXED);
}
