// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/redefine.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "code/portable/needs_entries_for_test.h"
#include "code/redefinable.h"
#include "continuation/continulet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "threads/update_request.h"
#include "updates/change.h"
#include "updates/testing/functions_for_test.h"

namespace instar {
namespace {

using testing::HasSubstr;
using namespace updates_test;  // NOLINT: the functions under test

// Longer than any test takes: an event that does not come fails the test.
constexpr std::chrono::seconds kLimit(60);

// Undoes what a test has applied.
class Applied {
 public:
  explicit Applied(Change redefinition)
      : redefinition_(std::move(redefinition)) {}
  ~Applied() { EXPECT_TRUE(redefinition_.Undo().is_done()); }
  Attempt Apply() { return redefinition_.Apply(); }
  Change* operator->() { return &redefinition_; }

 private:
  Change redefinition_;
};

TEST(RedefineTest, ReachesTheNewVersionAndBack) {
  Change update(Redefine(Price, &Price2));
  EXPECT_EQ(Price(1), 101);
  ASSERT_TRUE(update.Prepare().ok()) << update.Prepare();
  EXPECT_EQ(Price(1), 101);
  EXPECT_FALSE(update.is_applied());
  const Attempt attempt = update.Apply();
  ASSERT_TRUE(attempt.is_done()) << attempt.reason();
  EXPECT_EQ(Price(1), 201);
  EXPECT_TRUE(update.is_applied());
  EXPECT_TRUE(update.Apply().is_done());
  ASSERT_TRUE(update.Undo().is_done());
  EXPECT_EQ(Price(1), 101);
  EXPECT_TRUE(update.Undo().is_done());
  ASSERT_TRUE(update.Apply().is_done());
  EXPECT_EQ(Price(1), 201);
  ASSERT_TRUE(update.Undo().is_done());
}

TEST(RedefineTest, ThirdVersionOverTheSecond) {
  Change second(Redefine(Price, &Price2));
  Change third(Redefine(Price, &Price3));
  ASSERT_TRUE(second.Apply().is_done());
  ASSERT_TRUE(third.Apply().is_done());
  EXPECT_EQ(Price(1), 301);
  ASSERT_TRUE(second.Undo().is_done());
  EXPECT_EQ(Price(1), 301);
  ASSERT_TRUE(third.Undo().is_done());
  EXPECT_EQ(Price(1), 101);
}

TEST(RedefineTest, MemberFunctions) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  Applied update(Change(Redefine(Redefinitions()
                                     .Add(&Site::Render, &NewRender)
                                     .Add(&Site::Total, &Site::Total2))));
  Site site;
  const Site* volatile pointer = &site;
  EXPECT_EQ(pointer->Render(2), 6);
  const Attempt attempt = update.Apply();
  ASSERT_TRUE(attempt.is_done()) << attempt.reason();
  EXPECT_EQ(pointer->Render(2), -6);
  EXPECT_EQ(site.Total(2), 1005);
}

TEST(RedefineTest, ActiveDirectly) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  Change update(Redefine(&Depth, &Depth2));
  Attempt attempt = Attempt::Done();
  EXPECT_EQ(Depth(0, [&] { attempt = update.Apply(); }), 0);
  EXPECT_TRUE(attempt.is_not_yet());
  EXPECT_THAT(attempt.reason(), HasSubstr("Depth"));
  EXPECT_THAT(attempt.reason(), HasSubstr("frame"));
  EXPECT_THAT(attempt.reason(), HasSubstr("thread"));
  EXPECT_EQ(Depth(3, [] {}), 3);
  ASSERT_TRUE(update.Apply().is_done());
  EXPECT_EQ(Depth(3, [] {}), -3);
  ASSERT_TRUE(update.Undo().is_done());
}

TEST(RedefineTest, Recursive1000Deep) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  Change update(Redefine(&Depth, &Depth2));
  Attempt attempt = Attempt::Done();
  EXPECT_EQ(Depth(1000, [&] { attempt = update.Apply(); }), 1000);
  EXPECT_TRUE(attempt.is_not_yet());
  // The innermost frames are of others: what counts is the outermost, too.
  EXPECT_EQ(Depth(1000,
                  [&] {
                    Continulet<void()> body("inner",
                                            [&](ContinuletSelf<void()>&) {
                                              attempt = update.Apply();
                                            });
                    body.Switch();
                  }),
            1000);
  EXPECT_TRUE(attempt.is_not_yet());
  EXPECT_THAT(attempt.reason(), HasSubstr("Depth"));
  ASSERT_TRUE(update.Apply().is_done());
  ASSERT_TRUE(update.Undo().is_done());
}

TEST(RedefineTest, ActiveOnlyOnAPausedContinulet) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  Change update(Redefine(&Depth, &Depth2));
  Continulet<void()> body("sleeper", [](ContinuletSelf<void()>& self) {
    Depth(5, [&] { self.Switch(); });
  });
  body.Switch();
  const Attempt attempt = update.Apply();
  EXPECT_TRUE(attempt.is_not_yet());
  EXPECT_THAT(attempt.reason(), HasSubstr("in continulet 'sleeper'"));
  body.Switch();
  ASSERT_FALSE(body.is_pending());
  ASSERT_TRUE(update.Apply().is_done());
  ASSERT_TRUE(update.Undo().is_done());
}

TEST(RedefineTest, UndoWaitsForTheNewVersion) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  Change update(Redefine(&Depth, &Depth2));
  ASSERT_TRUE(update.Apply().is_done());
  Attempt attempt = Attempt::Done();
  EXPECT_EQ(Depth(0, [&] { attempt = update.Undo(); }), 0);
  EXPECT_TRUE(attempt.is_not_yet());
  EXPECT_THAT(attempt.reason(), HasSubstr("Depth2"));
  EXPECT_TRUE(update.is_applied());
  ASSERT_TRUE(update.Undo().is_done());
}

// Caller and callee change their protocol while a frame is alive that follows
// the old one ("contract"): refused until that frame is gone.
TEST(RedefineTest, Contract) {
  Change update(Redefine(Redefinitions()
                             .Add(Relay, &Relay2)
                             .Add(Send, &Send2)
                             .Add(Receive, &Receive2)));
  Attempt attempt = Attempt::Done();
  EXPECT_EQ(Relay(5, [&] { attempt = update.Apply(); }), 0);
  EXPECT_TRUE(attempt.is_not_yet());
  EXPECT_THAT(attempt.reason(), HasSubstr("Relay"));
  ASSERT_TRUE(update.Apply().is_done());
  EXPECT_EQ(Send(5), 15);
  // Nor back, in the middle of the new one.
  EXPECT_EQ(Relay(5, [&] { attempt = update.Undo(); }), 0);
  EXPECT_TRUE(attempt.is_not_yet());
  ASSERT_TRUE(update.Undo().is_done());
  EXPECT_EQ(Send(5), 10);
}

int Cost(int a) { return 100 + a; }

TEST(RedefineSlotTest, ReachesTheNewVersionAndBack) {
  static Redefinable<int(int)> slot(&Cost);
  Change update(Redefine(slot, &Price2));
  ASSERT_TRUE(update.Prepare().ok()) << update.Prepare();
  EXPECT_EQ(slot(1), 101);
  const Attempt attempt = update.Apply();
  ASSERT_TRUE(attempt.is_done()) << attempt.reason();
  EXPECT_EQ(slot(1), 201);
  EXPECT_EQ(Cost(1), 101);
  Change third(Redefine(slot, &Price3));
  ASSERT_TRUE(third.Apply().is_done());
  ASSERT_TRUE(update.Undo().is_done());
  EXPECT_EQ(slot(1), 301);
  ASSERT_TRUE(third.Undo().is_done());
  EXPECT_EQ(slot(1), 101);
}

TEST(RedefineSlotTest, QuiescentInEveryVersion) {
  using At = const std::function<void()>&;
  static Redefinable<int(int, At)> slot(&Depth);
  Change update(Redefine(slot, &Depth2));
  Attempt attempt = Attempt::Done();
  // The original.
  EXPECT_EQ(slot(3, [&] { attempt = update.Apply(); }), 3);
  EXPECT_TRUE(attempt.is_not_yet());
  EXPECT_THAT(attempt.reason(), HasSubstr("Depth"));
  ASSERT_TRUE(update.Apply().is_done());
  // The version that is being undone.
  EXPECT_EQ(slot(0, [&] { attempt = update.Undo(); }), 0);
  EXPECT_TRUE(attempt.is_not_yet());
  EXPECT_THAT(attempt.reason(), HasSubstr("Depth2"));
  EXPECT_TRUE(update.is_applied());
  // One that was undone meanwhile by somebody who did not look.
  RedefinableRedirection blind(slot, &Depth);
  blind.Apply();
  blind.Undo();
  Continulet<void()> body("sleeper", [](ContinuletSelf<void()>& self) {
    slot(0, [&] { self.Switch(); });
  });
  body.Switch();
  EXPECT_TRUE(update.Undo().is_not_yet());
  body.Switch();
  ASSERT_TRUE(update.Undo().is_done());
}

TEST(RedefineSlotTest, SwitchesTogetherWithEntries) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  static Redefinable<int(int)> slot(&Cost);
  Change update(Redefine(Redefinitions()
                             .Add(slot, &Price3)
                             .Add(Send, &Send2)
                             .Add(Receive, &Receive2)
                             .Add(&Depth, &Depth2)));
  Attempt attempt = Attempt::Done();
  EXPECT_EQ(Depth(1, [&] { attempt = update.Apply(); }), 1);
  EXPECT_TRUE(attempt.is_not_yet());
  EXPECT_EQ(slot(1), 101);
  EXPECT_EQ(Send(5), 10);
  ASSERT_TRUE(update.Apply().is_done());
  EXPECT_EQ(slot(1), 301);
  EXPECT_EQ(Send(5), 15);
  ASSERT_TRUE(update.Undo().is_done());
  EXPECT_EQ(slot(1), 101);
  EXPECT_EQ(Send(5), 10);
}

// An entry that cannot be changed keeps the slots as they are.
TEST(RedefineSlotTest, AllOrNothing) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  static Redefinable<int(int)> slot(&Cost);
  Change circle(
      Redefine(Redefinitions().Add(slot, &Price3).Add(&Depth, &Depth2)));
  Change back(Redefine(&Depth2, &Depth));
  ASSERT_TRUE(circle.Prepare().ok());
  ASSERT_TRUE(back.Apply().is_done());
  EXPECT_TRUE(circle.Apply().is_failed());  // Depth would lead to itself
  EXPECT_FALSE(circle.is_applied());
  EXPECT_EQ(slot(1), 101);
  ASSERT_TRUE(back.Undo().is_done());
  ASSERT_TRUE(circle.Apply().is_done());
  EXPECT_EQ(slot(1), 301);
  ASSERT_TRUE(circle.Undo().is_done());
}

TEST(RedefineSlotTest, DroppingItLeavesItInEffect) {
  static Redefinable<int(int)> slot(&Cost);
  ASSERT_TRUE(Change(Redefine(slot, &Price2)).Apply().is_done());
  EXPECT_EQ(slot(1), 201);
}

TEST(RedefineSlotTest, WhatCannotBeIsRefused) {
  static Redefinable<int(int)> slot(&Cost);
  EXPECT_EQ(
      Change(Redefine(Redefinitions().Add(slot, &Price2).Add(slot, &Price3)))
          .Prepare()
          .code(),
      absl::StatusCode::kInvalidArgument);
  ChangeOptions forced(Stacks::kAllThreads);
  forced.forced_quiescence = std::chrono::seconds(1);
  EXPECT_EQ(Change(Redefine(slot, &Price2), forced).Prepare().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(slot(1), 101);
}

TEST(RedefineByNameTest, ParametersAreCompared) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  Change update = Change(Redefine("instar::updates_test::Price(int)", &Price2));
  ASSERT_TRUE(update.Apply().is_done());
  EXPECT_EQ(Price(1), 201);
  ASSERT_TRUE(update.Undo().is_done());

  const absl::Status wrong =
      Change(Redefine("instar::updates_test::Price", &OfDouble)).Prepare();
  EXPECT_EQ(wrong.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(wrong.message(), HasSubstr("OfDouble(double)"));
}

TEST(RedefineByNameTest, BothByName) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  Change update(
      Redefine(Redefinitions().AddNamed("instar::updates_test::Price(int)",
                                        "instar::updates_test::Price3(int)")));
  ASSERT_TRUE(update.Apply().is_done());
  EXPECT_EQ(Price(1), 301);
  ASSERT_TRUE(update.Undo().is_done());
}

TEST(RedefineByNameTest, WhatReturnsAnotherTypeIsRefused) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  Change update(Redefine(Redefinitions().AddNamed(
      "instar::updates_test::Price(int)", &updates_test::LongPrice)));
  const absl::Status status = update.Prepare();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(status.message(), HasSubstr("returns int"));
  EXPECT_THAT(status.message(), HasSubstr("returns long"));
  // Also for whoever accepts what is not known: this is known.
  NamedRedefinitionOptions options;
  options.accept_unknown_return_type = true;
  EXPECT_FALSE(Change(Redefine(Redefinitions().AddNamed(
                          "instar::updates_test::Price(int)",
                          &updates_test::LongPrice, options)))
                   .Prepare()
                   .ok());
}

TEST(RedefineByNameTest, WhatIsNotThereIsRefused) {
  Change update = Change(Redefine("instar::updates_test::Prize(int)", &Price2));
  EXPECT_EQ(update.Prepare().code(), absl::StatusCode::kNotFound);
  const Attempt attempt = update.Apply();
  EXPECT_TRUE(attempt.is_failed());
  EXPECT_EQ(attempt.status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(update.is_applied());
}

TEST(RedefineByNameTest, CSymbolsCannotBeCompared) {
  const absl::Status refused =
      Change(Redefine("instar_test_plain_c", &Price2)).Prepare();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(refused.message(), HasSubstr("cannot be compared"));
}

TEST(RedefineTest, NothingToRedefineIsRefused) {
  EXPECT_EQ(Change(Redefine(Redefinitions())).Prepare().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(RedefineTest, TwiceTheSameIsRefusedAndChangesNothing) {
  Change update(
      Redefine(Redefinitions().Add(Price, &Price2).Add(Price, &Price3)));
  EXPECT_TRUE(update.Apply().is_failed());
  EXPECT_EQ(Price(1), 101);
}

// PyMoult (HotSWUP'13), section 2.2:
//   upd_fun = safe_redefine("fun", new_fun, "__main__")
//   set_update_function(upd_fun, thread)
TEST(RedefineListingTest, InAPassiveThread) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  std::atomic<bool> stop{false};
  std::atomic<int> seen{0};
  std::atomic<bool> inside{false};
  std::atomic<bool> leave{false};
  {
    ControlledThread thread = StartPassiveThread("passive", [&] {
      Depth(3, [&] {
        inside = true;
        while (!leave) UpdatePoint();
      });
      while (!stop) {
        UpdatePoint();
        seen = Price(0) + Depth(1, [] {});
      }
    });
    Change upd_fun(
        Redefine(Redefinitions()
                     .AddNamed("instar::updates_test::Price", &Price2)
                     .Add(&Depth, &Depth2)));
    while (!inside) std::this_thread::yield();
    UpdateRequest request = SetUpdateFunction(thread, upd_fun);
    request.Trigger();
    // It is tried while the function is active, and put off.
    while (request.attempts() < 3) std::this_thread::yield();
    EXPECT_FALSE(request.is_finished());
    EXPECT_THAT(request.reason(), HasSubstr("Depth"));
    EXPECT_THAT(request.reason(), HasSubstr("thread 'passive'"));
    leave = true;
    const absl::Status done = request.Await(kLimit);
    EXPECT_TRUE(done.ok()) << done;
    while (seen != 200 - 1) std::this_thread::yield();
    UpdateRequest undo = SetUpdateFunction(thread, upd_fun.UndoFunction());
    undo.Trigger();
    EXPECT_TRUE(undo.Await(kLimit).ok());
    while (seen != 100 + 1) std::this_thread::yield();
    stop = true;
  }
  EXPECT_EQ(Price(1), 101);
}

// The paper's level: one thread is updated while another is still in the old
// version; that is the author's business.
TEST(RedefineListingTest, AnotherThreadMayStillBeInTheOldVersion) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  std::atomic<bool> inside{false};
  std::atomic<bool> leave{false};
  std::atomic<int> result{0};
  ControlledThread other = StartPassiveThread("other", [&] {
    result = Depth(4, [&] {
      inside = true;
      while (!leave) UpdatePoint();
    });
  });
  while (!inside) std::this_thread::yield();
  Change update(Redefine(&Depth, &Depth2));
  ASSERT_TRUE(update.Apply().is_done());
  EXPECT_EQ(Depth(4, [] {}), -4);
  leave = true;
  other.Join();
  EXPECT_EQ(result, 4);
  ASSERT_TRUE(update.Undo().is_done());
}

}  // namespace
}  // namespace instar
