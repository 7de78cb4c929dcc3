// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/process_file.h"

#include <unistd.h>

#include "gtest/gtest.h"

namespace instar {
namespace manager_internal {
namespace {

TEST(ProcessFileTest, TellsWhatIsThere) {
  EXPECT_EQ(ReadProcessFile("/proc/self/comm").back(), '\n');
  EXPECT_TRUE(IsRunning(getpid()));
}

TEST(ProcessFileTest, AFileThatIsNotThereIsEmpty) {
  EXPECT_EQ(ReadProcessFile("/proc/self/none"), "");
}

// As that of a process that ends after its file was opened.
TEST(ProcessFileTest, AFileThatCannotBeReadIsEmpty) {
  EXPECT_EQ(ReadProcessFile("/proc/self"), "");
}

}  // namespace
}  // namespace manager_internal
}  // namespace instar
