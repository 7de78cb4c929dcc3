// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// As that of gtest, with the explorer's flags.

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/explorer/explorer.h"

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  if (!instar::ReadExplorerFlags(&argc, argv)) return 2;
  return RUN_ALL_TESTS();
}
