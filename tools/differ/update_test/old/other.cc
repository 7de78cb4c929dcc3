// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "inline.h"
#include "tools/differ/update_test/shop.h"
static int counter = 1000;  // the same name as in shop.cc
int other_count() { return ++counter + shared_inline(0) * 0; }

// Two variables in a section of the source's own, which other files use.
__attribute__((section("pair"))) int first_of_pair = 31;
__attribute__((section("pair"))) int second_of_pair = 32;
