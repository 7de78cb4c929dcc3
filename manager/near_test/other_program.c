/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * Made for a build that is not loaded. */

#include "manager/near_test/by_hand.h"

GENERATED_MODULE("other_program");
IMAGE("libshop.so", "0123456789abcdef");

REDEFINE(0x1000, near_check, 0, 0, "near_check");
int near_check(int value) { return value; }
