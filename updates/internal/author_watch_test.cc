// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/author_watch.h"

#include <chrono>
#include <memory>
#include <thread>

#include "absl/status/status.h"
#include "base/linux/own_thread.h"
#include "base/testing/child_process.h"
#include "base/testing/sanitizers.h"
#include "gtest/gtest.h"

namespace instar {
namespace updates_internal {
namespace {

using std::chrono::milliseconds;

std::unique_ptr<AuthorWatch> StartWatch() {
  auto watch = std::make_unique<AuthorWatch>(
      AuthorWatch::Clock::time_point::min(), [] { return false; });
  EXPECT_TRUE(watch->Start().ok());
  return watch;
}

// Calls what returns when it has been given up.
absl::Status CallUntilGivenUp(AuthorWatch& watch) {
  return watch.Call(
      "what waits",
      [&] {
        while (watch.running().empty()) std::this_thread::yield();
        return absl::OkStatus();
      },
      /*at_least=*/milliseconds(1));
}

TEST(AuthorWatchTest, GivesUpWhatTakesTooLong) {
  const auto watch = StartWatch();
  EXPECT_TRUE(
      watch->Call("what returns", [] { return absl::OkStatus(); }).ok());
  EXPECT_FALSE(watch->gave_up());
  EXPECT_TRUE(absl::IsDeadlineExceeded(CallUntilGivenUp(*watch)));
  EXPECT_TRUE(watch->gave_up());
  EXPECT_EQ(watch->running(), "");
}

TEST(AuthorWatchTest, OneThreadIsKeptForTheNext) {
  StartWatch();
  const OwnThreads kept = CountOwnThreads();
  EXPECT_EQ(kept.count, 1);
  EXPECT_TRUE(absl::IsDeadlineExceeded(CallUntilGivenUp(*StartWatch())));
  // Long enough for it to sleep until it is woken.
  std::this_thread::sleep_for(milliseconds(1500));
  EXPECT_TRUE(absl::IsDeadlineExceeded(CallUntilGivenUp(*StartWatch())));
  EXPECT_EQ(CountOwnThreads().changes, kept.changes);
}

TEST(AuthorWatchTest, EachHasOneOfItsOwn) {
  {
    const auto one = StartWatch();
    const auto other = StartWatch();
    EXPECT_EQ(CountOwnThreads().count, 2);
    EXPECT_TRUE(absl::IsDeadlineExceeded(CallUntilGivenUp(*other)));
    EXPECT_TRUE(absl::IsDeadlineExceeded(CallUntilGivenUp(*one)));
  }
  // The second one ends by itself.
  while (CountOwnThreads().count != 1) std::this_thread::yield();
}

TEST(AuthorWatchTest, AChildHasNone) {
  INSTAR_SKIP_UNDER_TSAN("it makes no threads in a child");
  auto one = StartWatch();
  StartWatch();  // is parked now
  EXPECT_EQ(InAChild([&] {
              if (CountOwnThreads().count != 0) return 1;
              one.reset();
              if (!absl::IsDeadlineExceeded(CallUntilGivenUp(*StartWatch()))) {
                return 2;
              }
              return CountOwnThreads().count == 1 ? 0 : 3;
            }),
            0);
  EXPECT_TRUE(absl::IsDeadlineExceeded(CallUntilGivenUp(*one)));
}

}  // namespace
}  // namespace updates_internal
}  // namespace instar
