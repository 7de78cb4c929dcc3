// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/watch/process_end.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace instarctl {
namespace {

constexpr std::chrono::milliseconds kLimit = std::chrono::hours(1);

// A child that ends by this signal, or by exit code 3, when it is told to.
class Child {
 public:
  explicit Child(int signal) {
    EXPECT_EQ(pipe(pipe_), 0);
    pid_ = fork();
    if (pid_ != 0) return;
    char unused;
    close(pipe_[1]);
    (void)!read(pipe_[0], &unused, 1);
    const rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    ::signal(signal, SIG_DFL);
    if (signal != 0) raise(signal);
    _exit(3);
  }
  void End() {
    close(pipe_[0]);
    close(pipe_[1]);
  }
  pid_t pid() const { return pid_; }

 private:
  int pipe_[2];
  pid_t pid_;
};

// As long as nobody has asked how it ended, and afterwards.
TEST(ProcessEndTest, IsKnown) {
  for (const int signal : {0, SIGSEGV, SIGABRT, SIGKILL, SIGTERM}) {
    Child child(signal);
    const auto end = ProcessEnd::Of(child.pid());
    ASSERT_TRUE(end.ok()) << end.status();
    EXPECT_FALSE(end->has_come());
    child.End();
    EXPECT_TRUE(end->Await(kLimit));
    EXPECT_TRUE(end->has_come());
    for (const bool was_asked : {false, true}) {
      if (was_asked) {
        ASSERT_EQ(waitpid(child.pid(), nullptr, 0), child.pid());
      }
      const Ending ending = end->Find();
      EXPECT_EQ(ending.is_crash(),
                ending.signal.has_value() && signal != SIGTERM);
      // Linux keeps it since 6.15.
      if (was_asked && ending.ToString() == "no known cause") continue;
      if (signal == 0) {
        EXPECT_EQ(ending.ToString(), "exit code 3");
      } else {
        EXPECT_EQ(ending.signal, signal);
      }
    }
  }
}

TEST(ProcessEndTest, IsPutIntoWords) {
  Ending ending;
  ending.signal = SIGSEGV;
  EXPECT_EQ(ending.ToString(), "signal 11 (Segmentation fault)");
  EXPECT_FALSE(Ending().is_crash());
}

TEST(ProcessEndTest, OfNobody) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(absl::IsNotFound(ProcessEnd::Of(child).status()));
}

}  // namespace
}  // namespace instarctl
}  // namespace instar
