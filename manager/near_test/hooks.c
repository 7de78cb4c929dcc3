/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * A module whose author has written hooks. */

#include ADDRESSES

#include "manager/c/instar_hooks.h"
#include "manager/near_test/by_hand.h"

GENERATED_MODULE("hooks");
IMAGE("the program", PROGRAM_BUILD_ID);
REDEFINE(PROGRAM_AT_near_check, near_check, 0, 0, "near_check");

#define CALLS ((int*)IMPORTED(PROGRAM_AT_near_hook_calls, 0, "near_hook_calls"))

/* 6 digits: until (at least once), before, after, done, undo_after,
 * undo_before, in the order in which they are called. */
static void Note(int digit) { *CALLS = *CALLS * 10 + digit; }

int instar_generated_until(void) { return *CALLS >= 0; }
const char* instar_generated_before(void) {
  Note(1);
  return *CALLS == 71 ? "before says no" : 0;
}
const char* instar_generated_after(void) {
  Note(2);
  return *CALLS == 812 ? "after says no" : 0;
}
void instar_generated_done(void) { Note(3); }
const char* instar_generated_undo_after(void) {
  Note(4);
  return 0;
}
const char* instar_generated_undo_before(void) {
  Note(5);
  return 0;
}

int near_check(int value) { return value + 1000; }
