// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "inline.h"
#include "tools/differ/update_test/shop.h"
static int counter = 1000;  // the same name as in shop.cc
int other_count() { return ++counter + shared_inline(0) * 0; }
