// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
//   TEST(PlanTest, RedefinesAFunction) {
//     INSTAR_NEEDS_FUNCTION_ENTRIES();
//
// For a test of which the processor may have nothing to test. A test program of
// such tests alone is left out by tools/processors.bzl.

#ifndef INSTAR_CODE_NEEDS_ENTRIES_FOR_TEST_H_
#define INSTAR_CODE_NEEDS_ENTRIES_FOR_TEST_H_

#include "code/entries_here.h"
#include "gtest/gtest.h"

#define INSTAR_NEEDS_FUNCTION_ENTRIES() \
  if (!::instar::kHasFunctionEntries)   \
  GTEST_SKIP() << ::instar::CheckFunctionEntries().message()

#endif  // INSTAR_CODE_NEEDS_ENTRIES_FOR_TEST_H_
