// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/watch/health_command.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace instar {
namespace instarctl {
namespace {

constexpr std::chrono::hours kLimit(1);

std::string Message(const std::string& command) {
  return std::string(HealthCommand(command, kLimit).Run().message());
}

TEST(HealthCommandTest, SaysWhetherAllIsWell) {
  EXPECT_TRUE(HealthCommand("true", kLimit).Run().ok());
  EXPECT_EQ(Message("exit 3"), "the health command exited with 3");
  EXPECT_EQ(Message("echo first; echo ' the last one ' >&2; echo; exit 1"),
            "the health command exited with 1: the last one");
  EXPECT_EQ(Message("kill -9 $$"), "the health command was ended by signal 9");
  EXPECT_EQ(Message("/no/such/command 2>/dev/null"),
            "the health command exited with 127");
  // It may say as much as it likes; what a terminal would obey is spelt out.
  EXPECT_EQ(Message("yes | head -c 1000000; printf 'a\\033[2J'; exit 1"),
            "the health command exited with 1: a\\x1b[2J");
}

TEST(HealthCommandTest, HasNoInputAndAGroupOfItsOwn) {
  EXPECT_TRUE(HealthCommand("test $(cat | wc -c) = 0", kLimit).Run().ok());
  EXPECT_TRUE(HealthCommand("test $(cut -d' ' -f5 /proc/$$/stat) = $$", kLimit)
                  .Run()
                  .ok());
}

TEST(HealthCommandTest, MayBeRunAgain) {
  HealthCommand command("true", kLimit);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(command.Run().ok());
}

TEST(HealthCommandTest, HasALimit) {
  const absl::Status late =
      HealthCommand("sleep 1000", std::chrono::nanoseconds(1)).Run();
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
}

// With what it has started.
TEST(HealthCommandTest, IsStopped) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  {
    HealthCommand command("sleep 1000 & sleep 1000", kLimit);
    ASSERT_TRUE(command.Start().ok());
    EXPECT_TRUE(command.is_running());
    EXPECT_FALSE(command.Finish().has_value());
    close(ends[1]);
  }
  // All ends of the other side are closed when both have ended.
  char unused;
  EXPECT_EQ(read(ends[0], &unused, 1), 0);
  close(ends[0]);
}

}  // namespace
}  // namespace instarctl
}  // namespace instar
