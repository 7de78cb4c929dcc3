/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * Refers to what is not there. */

#include ADDRESSES

#include "manager/near_test/by_hand.h"

GENERATED_MODULE("outside");
IMAGE("the program", PROGRAM_BUILD_ID);

int* near_nothing = (int*)1;
IMPORT_INTO(near_nothing, 0x7f000000, 0, "near_nothing");

REDEFINE(PROGRAM_AT_near_check, near_check, 0, 0, "near_check");
int near_check(int value) { return value; }
