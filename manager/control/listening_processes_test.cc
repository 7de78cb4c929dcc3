// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/listening_processes.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace manager_internal {
namespace {

using testing::ElementsAre;

TEST(ListeningProcessesTest, ReadsWhatTheSystemLists) {
  EXPECT_THAT(
      ListeningPaths(
          "Num       RefCount Protocol Flags    Type St Inode Path\n"
          "0000000000000000: 00000002 00000000 00010000 0001 01 123 "
          "/run/instar/0/shop.7.sock\n"
          "0000000000000000: 00000002 00000000 00010000 0001 01 124 "
          "/a folder/shop.8.sock\n"
          "0000000000000000: 00000002 00000000 00010000 0001 01 125 @shop\n"
          "0000000000000000: 00000003 00000000 00000000 0001 03 126 "
          "/run/instar/0/shop.7.sock\n"
          "0000000000000000: 00000002 00000000 00010000 0001 01 127\n"),
      ElementsAre("/run/instar/0/shop.7.sock", "/a folder/shop.8.sock"));
}

}  // namespace
}  // namespace manager_internal
}  // namespace instar
