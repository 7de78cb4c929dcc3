// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/update_point_watch.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "code/entry_interception.h"
#include "code/portable/needs_entries_for_test.h"
#include "code/symbols/function.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/stack_walker.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"
#include "threads/testing/functions_for_test.h"
#include "threads/thread_ref.h"
#include "threads/thread_state.h"
#include "threads/update_point.h"
#include "threads/update_request.h"

namespace instar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using threads_test::Step;

constexpr std::chrono::seconds kLimit(60);

std::string NameOf(const WatchedPoint& point) {
  if (point.function == 0) return std::string(point.name);
  return absl::StrCat("entry of ",
                      Function::AtEntry(point.function).value().name());
}

// The one of the process. What it does is each test's; called by one thread at
// a time here.
class TestWatch : public UpdatePointWatch {
 public:
  static TestWatch& Get() {
    static TestWatch* const watch = [] {
      auto* const made = new TestWatch;
      WatchUpdatePoints(made);
      return made;
    }();
    return *watch;
  }

  bool Stays(const WatchedPoint& point) override {
    seen.push_back(absl::StrCat(point.thread, ": ", NameOf(point)));
    return stays != nullptr && stays(point);
  }

  std::vector<std::string> seen;
  std::function<bool(const WatchedPoint&)> stays;
};

class UpdatePointWatchTest : public testing::Test {
 protected:
  UpdatePointWatchTest() {
    watch().seen.clear();
    watch().stays = nullptr;
  }
  static TestWatch& watch() { return TestWatch::Get(); }
  static void Run(ThreadKind kind, std::function<void()> main) {
    StartThread("worker", kind, [main = std::move(main)] { main(); });
  }
};

TEST_F(UpdatePointWatchTest, SeesExplicitPoints) {
  Run(ThreadKind::kPassive, [] {
    UpdatePoint();
    Step(1);
    UpdatePoint("between");
    const NoUpdateScope none;
    UpdatePoint("in a scope");
  });
  EXPECT_THAT(watch().seen, ElementsAre("worker: ", "worker: between"));
}

TEST_F(UpdatePointWatchTest,
       SeesEntriesOfActiveThreadsWhileTheyAreIntercepted) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  const auto run = [] {
    Run(ThreadKind::kActive, [] {
      Step(1);
      UpdatePoint();
    });
    Run(ThreadKind::kPassive, [] { Step(1); });
  };
  run();
  EXPECT_THAT(watch().seen, ElementsAre("worker: "));
  watch().seen.clear();
  auto entries = EntryInterception::OfAll();
  ASSERT_TRUE(entries.ok()) << entries.status();
  run();
  EXPECT_THAT(watch().seen,
              ElementsAre(HasSubstr("entry of instar::threads_test::Step(int)"),
                          "worker: "));
}

TEST_F(UpdatePointWatchTest, BlockingRegionsAreNone) {
  Run(ThreadKind::kPassive, [] {
    Blocking([] {});
    Blocking("in a region", [] { UpdatePoint("inside"); });
  });
  EXPECT_THAT(watch().seen, ElementsAre());
}

TEST_F(UpdatePointWatchTest, SeesTheStackOfThePoint) {
  WalkResult result;
  watch().stays = [&](const WatchedPoint& point) {
    result = WalkStack(point.stack, [](const Frame&) { return true; });
    return false;
  };
  Run(ThreadKind::kPassive, [] { UpdatePoint(); });
  EXPECT_TRUE(result.complete()) << result.ToString();
}

TEST_F(UpdatePointWatchTest, AThreadThatStaysDoesWhatItIsAskedFor) {
  int updated = 0;
  std::atomic<bool> is_held{false};
  std::thread other;
  watch().stays = [&](const WatchedPoint&) {
    if (watch().seen.size() == 1) {
      other = std::thread([&] {
        UpdateRequest request = SetUpdateFunction(
            ControlledThreads("worker").at(0), [&](UpdateContext&) {
              ++updated;
              return Attempt::Done();
            });
        request.Trigger();
        EXPECT_TRUE(request.Await(kLimit).ok());
        RendezvousOptions options;
        options.limit = kLimit;
        auto held = Rendezvous::HoldAll(options);
        EXPECT_TRUE(held.ok()) << held.status();
        is_held = true;
      });
    }
    return !is_held.load();
  };
  Run(ThreadKind::kPassive, [] { UpdatePoint("here"); });
  other.join();
  EXPECT_EQ(updated, 1);
  EXPECT_GE(watch().seen.size(), std::size_t{2});
}

TEST_F(UpdatePointWatchTest, SaysWhatBecomesOfUpdateFunctions) {
  UpdateRequest request(nullptr);
  bool is_tried = false;
  std::vector<PointRequests> said;
  watch().stays = [&](const WatchedPoint& point) {
    if (said.empty()) {
      UpdateOptions options;
      options.point = "there";
      request = SetUpdateFunction(
          ControlledThreads("worker").at(0),
          [&](UpdateContext&) {
            return is_tried ? Attempt::Done() : Attempt::NotYet("not now");
          },
          std::move(options));
      request.Trigger();
    }
    const bool is_news = said.empty() || said.back() != point.requests;
    // Whether it is tried before it is seen depends on who is faster.
    if (is_news && point.requests != PointRequests::kUntried) {
      said.push_back(point.requests);
    }
    if (point.name == "there" && point.requests == PointRequests::kTried) {
      is_tried = true;
    }
    return point.requests == PointRequests::kUntried ||
           (point.name == "there" && point.requests != PointRequests::kNone);
  };
  Run(ThreadKind::kPassive, [] {
    UpdatePoint("here");
    UpdatePoint("here");
    UpdatePoint("there");
    UpdatePoint("there");
  });
  EXPECT_THAT(said, ElementsAre(PointRequests::kNone, PointRequests::kTried,
                                PointRequests::kNone));
  EXPECT_GE(request.attempts(), 2);
  EXPECT_TRUE(request.is_finished());
}

TEST_F(UpdatePointWatchTest, AThreadThatIsRebootedWhereItStaysLeaves) {
  std::thread other;
  bool is_asked = false, is_new = false;
  watch().stays = [&](const WatchedPoint&) {
    if (is_asked) return !is_new;
    is_asked = true;
    other = std::thread([&] {
      UpdateRequest request = SetUpdateFunction(
          ControlledThreads("worker").at(0), [&](UpdateContext& context) {
            return context.Reboot([&] {
              is_new = true;
              UpdatePoint("of the new one");
            });
          });
      request.Trigger();
      EXPECT_TRUE(request.Await(kLimit).ok());
    });
    return true;
  };
  bool went_on = false;
  Run(ThreadKind::kPassive, [&] {
    UpdatePoint("of the old one");
    went_on = true;
  });
  other.join();
  EXPECT_FALSE(went_on);
  EXPECT_EQ(watch().seen.back(), "worker: of the new one");
}

}  // namespace
}  // namespace instar
