// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The cases of PyMoult 2's test suite in which the program polls its manager.

#include "examples/cases/polled_updates.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "examples/cases/polled_program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/attempt.h"
#include "updates/change.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/mechanisms/redefine.h"

namespace cases {
namespace {

using instar::Attempt;
using instar::Change;
using testing::ElementsAre;

void NewServe() { said.push_back("v2"); }

// A mechanism that can be applied when its condition says so.
class Announce final : public instar::Mechanism {
 public:
  explicit Announce(std::function<Attempt()> condition)
      : condition_(std::move(condition)) {}
  std::string name() const override { return "announce"; }
  Attempt Ready(const instar::StoppedWorld&, instar::Direction) override {
    return condition_();
  }
  Attempt Apply(const instar::StoppedWorld&) override {
    said.push_back("announced");
    return Attempt::Done();
  }
  Attempt Undo(const instar::StoppedWorld&) override { return Attempt::Done(); }

 private:
  std::function<Attempt()> condition_;
};

class PolledUpdatesTest : public testing::Test {
 protected:
  PolledUpdatesTest() { said.clear(); }
  ~PolledUpdatesTest() override {
    EXPECT_TRUE(serve_.Undo().is_done());  // for the next case
  }

  Attempt WhenServeIsApplied() const {
    return updates_.IsApplied("serve") ? Attempt::Done()
                                       : Attempt::NotYet("v1 serves");
  }
  PolledUpdates::Entry Announcement(std::function<Attempt()> condition) {
    return {"announcement",
            Change(std::make_shared<Announce>(std::move(condition)))};
  }
  void AddServe() { updates_.Add({"serve", serve_}); }

  // The program.
  void Run(int rounds) {
    for (int i = 0; i < rounds; ++i) {
      const std::string what = updates_.TryNext();
      if (!what.empty()) said.push_back("# " + what);
      Serve();
    }
  }

  PolledUpdates updates_;
  Change serve_{instar::Redefine(&Serve, &NewServe)};
};

TEST_F(PolledUpdatesTest, TheProgramSaysWhen) {
  Run(1);
  AddServe();
  Serve();
  Run(2);
  EXPECT_THAT(said, ElementsAre("v1", "v1", "# serve is applied", "v2", "v2"));
}

TEST_F(PolledUpdatesTest, PostponedUntilTheOneItDependsOnIsApplied) {
  auto announcement = Announcement([] { return Attempt::Done(); });
  announcement.requirement = [this] { return WhenServeIsApplied(); };
  updates_.Add(std::move(announcement));
  AddServe();
  Run(4);
  EXPECT_THAT(said, ElementsAre("# announcement is postponed: v1 serves", "v1",
                                "# serve is applied", "v2", "announced",
                                "# announcement is applied", "v2", "v2"));
}

TEST_F(PolledUpdatesTest, OneThatCanNeverBeAppliedIsDroppedAndTheNextGoesOn) {
  auto announcement = Announcement([] { return Attempt::Done(); });
  announcement.requirement = [] {
    return Attempt::Failed(absl::FailedPreconditionError("too old"));
  };
  updates_.Add(std::move(announcement));
  AddServe();
  Run(3);
  EXPECT_THAT(said, ElementsAre("# announcement is dropped: too old", "v1",
                                "# serve is applied", "v2", "v2"));
}

TEST_F(PolledUpdatesTest, ANumberOfTriesAndThenTheNextGoesFirst) {
  auto announcement = Announcement([this] { return WhenServeIsApplied(); });
  announcement.most_tries = 3;
  updates_.Add(std::move(announcement));
  AddServe();
  Run(5);
  EXPECT_THAT(
      said, ElementsAre(
                "# announcement is not possible yet: announce: v1 serves", "v1",
                "# announcement is not possible yet: announce: v1 serves", "v1",
                "# announcement is postponed: announce: v1 serves", "v1",
                "# serve is applied", "v2", "announced",
                "# announcement is applied", "v2"));
}

// The function is on the stack of the program that asks.
TEST_F(PolledUpdatesTest, NotInsideOfTheFunctionItself) {
  AddServe();
  in_the_middle = [this] { said.push_back("# " + updates_.TryNext()); };
  Serve();
  in_the_middle = nullptr;
  ASSERT_EQ(said.size(), 2u);
  EXPECT_THAT(said[0], testing::StartsWith("# serve is postponed: "));
  EXPECT_THAT(said[0], testing::HasSubstr("cases::Serve()"));
  EXPECT_EQ(said[1], "v1");
  said.clear();
  Run(1);
  EXPECT_THAT(said, ElementsAre("# serve is applied", "v2"));
}

}  // namespace
}  // namespace cases
