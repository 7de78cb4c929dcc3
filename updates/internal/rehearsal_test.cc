// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What stands in the way of a change, and of what threads do each at its own
// update point, asked beforehand and told in parts.

#include "updates/internal/rehearsal.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/testing/sanitizers.h"
#include "code/portable/needs_entries_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/updatable.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/thread_state.h"
#include "threads/update_point.h"
#include "updates/change.h"
#include "updates/mechanisms/convert.h"
#include "updates/mechanisms/hook.h"
#include "updates/mechanisms/redefine.h"
#include "updates/testing/functions_for_test.h"
#include "updates/thread_updates.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace updates_test;  // NOLINT: the functions under test

struct Item : Updatable<Item> {};
struct ItemV2 : Item {
  explicit ItemV2(Item&& old) noexcept : Item(std::move(old)) {}
};

using Blockers = std::vector<Blocker>;

// What is in the way, asked until it is what is expected: a thread may need
// longer to an update point than a rehearsal waits.
Blockers AskUntil(const std::function<absl::StatusOr<Blockers>()>& ask,
                  const std::function<bool(const Blockers&)>& is) {
  while (true) {
    absl::StatusOr<Blockers> blockers = ask();
    if (!blockers.ok()) {
      ADD_FAILURE() << blockers.status();
      return {};
    }
    if (is(*blockers)) return *std::move(blockers);
    std::this_thread::yield();
  }
}

bool IsNone(const Blockers& blockers) { return blockers.empty(); }
bool IsInRelay(const Blockers& blockers) {
  return blockers.size() == 1 &&
         blockers[0].function.find("Relay") != std::string::npos;
}

// A thread inside of Relay(), with update points there, until it is let go;
// then it comes to update points elsewhere.
class Relaying {
 public:
  explicit Relaying(std::string name)
      : thread_(StartPassiveThread(std::move(name), [this] {
          Relay(3, [this] {
            is_inside_ = true;
            while (!is_let_go_) UpdatePoint();
          });
          while (!stop_) UpdatePoint("elsewhere");
        })) {
    while (!is_inside_) std::this_thread::yield();
  }
  ~Relaying() { stop_ = is_let_go_ = true; }
  void LetGo() { is_let_go_ = true; }
  ThreadRef ref() const { return thread_.ref(); }

 private:
  std::atomic<bool> is_inside_{false}, is_let_go_{false}, stop_{false};
  ControlledThread thread_;
};

TEST(ChangeCheckTest, SaysWhatIsInTheWayAndChangesNothing) {
  Relaying thread("relay");
  Change change(Redefine(Relay, &Relay2), Stacks::kControlledThreads);
  const auto check = [&] { return change.Check(); };
  const Blockers blockers = AskUntil(check, &IsInRelay);
  ASSERT_EQ(blockers.size(), 1u);
  EXPECT_EQ(blockers[0].thread, "relay");
  EXPECT_EQ(blockers[0].tid, thread.ref().tid());
  EXPECT_GE(blockers[0].frame, 0);
  EXPECT_FALSE(change.is_applied());
  thread.LetGo();
  AskUntil(check, &IsNone);
  EXPECT_FALSE(change.is_applied());
  while (change.Apply().is_not_yet()) std::this_thread::yield();
  ASSERT_TRUE(change.is_applied());
  EXPECT_TRUE(absl::IsFailedPrecondition(change.Check().status()));
  while (change.Undo().is_not_yet()) std::this_thread::yield();
}

TEST(ChangeCheckTest, LooksAtAllThreads) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  std::atomic<bool> is_inside{false}, stop{false};
  std::thread other([&] {
    Relay(3, [&] {
      is_inside = true;
      while (!stop) std::this_thread::yield();
    });
  });
  const absl::Cleanup end = [&] {
    stop = true;
    other.join();
  };
  while (!is_inside) std::this_thread::yield();
  Change change(Redefine(Relay, &Relay2), Stacks::kAllThreads);
  AskUntil([&] { return change.Check(); }, &IsInRelay);
}

TEST(ChangeCheckTest, InAThreadLooksAtThatOne) {
  Relaying one("one"), two("two");
  two.LetGo();
  Change change(Redefine(Relay, &Relay2));
  AskUntil([&] { return change.CheckIn(one.ref()); }, &IsInRelay);
  AskUntil([&] { return change.CheckIn(two.ref()); }, &IsNone);
  AskUntil([&] { return change.CheckIn(two.ref(), "elsewhere"); }, &IsNone);
  AskUntil([&] { return change.CheckIn(two.ref(), "nowhere"); },
           [](const Blockers& blockers) {
             return blockers.size() == 1 &&
                    blockers[0].reason.find("'nowhere'") != std::string::npos;
           });
}

TEST(ChangeCheckTest, AnErrorIsThatOfApply) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      Change(ConvertEagerly<Item, ItemV2>(), Stacks::kThisThread)
          .Check()
          .status()));
}

TEST(ChangeBlockersTest, AreThoseOfTheLatestAttempt) {
  Relaying thread("relay");
  Change change(Redefine(Relay, &Relay2), Stacks::kControlledThreads);
  EXPECT_THAT(change.Blockers(), IsEmpty());
  while (!IsInRelay(change.Blockers())) {
    ASSERT_TRUE(change.Apply().is_not_yet());
  }
  EXPECT_EQ(change.Blockers()[0].thread, "relay");
  EXPECT_FALSE(change.Blockers()[0].remedy.empty());
  thread.LetGo();
  while (change.Apply().is_not_yet()) std::this_thread::yield();
  EXPECT_THAT(change.Blockers(), IsEmpty());
  while (change.Undo().is_not_yet()) std::this_thread::yield();
}

// They would take longer than all of it may.
TEST(ChangeCheckTest, ThreadsThatWereNotAskedAreNamed) {
  constexpr std::size_t kThreads = 30;
  std::vector<std::unique_ptr<Relaying>> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.push_back(std::make_unique<Relaying>("relay"));
  }
  ChangeOptions options(Stacks::kControlledThreads);
  options.point = "nowhere";
  Change change(MakeHook("look", [] { return absl::OkStatus(); }), options);
  const auto blockers = change.Check();
  ASSERT_TRUE(blockers.ok()) << blockers.status();
  std::set<pid_t> named;
  for (const Blocker& blocker : *blockers) named.insert(blocker.tid);
  EXPECT_EQ(named.size(), kThreads);
  EXPECT_THAT(blockers->back().reason, HasSubstr("not asked"));
}

// It could be inside of Relay(), for all that one can tell.
TEST(PlanRehearsalTest, AThreadThatCannotBeLookedAtIsARemark) {
  std::atomic<pid_t> tid{0};
  std::atomic<bool> stop{false};
  std::thread deaf([&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    pthread_setname_np(pthread_self(), "deaf");
    tid = gettid();
    while (!stop) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  const absl::Cleanup end = [&] {
    stop = true;
    deaf.join();
  };
  while (tid == 0) std::this_thread::yield();
  for (const bool only_registered : {true, false}) {
    UpdatePlan plan("relay");
    plan.Redefine(Relay, &Relay2);
    if (only_registered) plan.OnlyRegisteredThreads();
    const auto update = MakeUpdate(std::move(plan));
    std::vector<std::string> remarks;
    ApplyOptions options;
    options.remarks = &remarks;
    const auto blockers = update->Rehearse(options);
    ASSERT_TRUE(blockers.ok()) << blockers.status();
    EXPECT_THAT(*blockers, IsEmpty());
    EXPECT_THAT(remarks,
                Contains(AllOf(HasSubstr("thread 'deaf'"),
                               HasSubstr(absl::StrCat(tid.load())),
                               HasSubstr("could not be looked at, because"))));
  }
}

TEST(ChangePointTest, ThreadsAreHeldThereOnly) {
  std::atomic<bool> stop{false};
  std::atomic<int> half{0};  // 1 between the two, of which one is named
  ControlledThread thread = StartPassiveThread("halves", [&] {
    while (!stop) {
      half = 1;
      UpdatePoint();
      half = 0;
      UpdatePoint("whole");
    }
  });
  const absl::Cleanup end = [&] { stop = true; };
  ChangeOptions options(Stacks::kControlledThreads);
  options.point = "whole";
  Change change(MakeHook("look",
                         [&] {
                           return half == 0 ? absl::OkStatus()
                                            : absl::InternalError("half way");
                         }),
                options);
  Attempt attempt = Attempt::NotYet("");
  while (attempt.is_not_yet()) attempt = change.Apply();
  EXPECT_TRUE(attempt.is_done()) << attempt.reason();
  options.stacks = Stacks::kAllThreads;
  EXPECT_TRUE(absl::IsInvalidArgument(
      Change(Redefine(Price, &Price2), options).Prepare()));
  options.stacks.reset();
  EXPECT_TRUE(absl::IsInvalidArgument(
      Change(Redefine(Price, &Price2), options).Prepare()));
}

TEST(ThreadUpdatesRehearsalTest, EachThreadIsAskedAndNothingIsChanged) {
  Relaying one("one"), two("two");
  StartPassiveThread("nobody", [] {}).Join();  // a name that is known
  std::atomic<int> called{0};
  ThreadUpdates threads("relay");
  threads.Start(Redefine(Price, &Price2));
  threads.Add("one", Redefine(Relay, &Relay2));
  threads.Then();
  threads.SetUpdateFunction("two", [&](UpdateContext&) {
    ++called;
    return Attempt::Done();
  });
  threads.Add("nobody", Redefine(Send, &Send2));
  const auto update = MakeUpdate(std::move(threads));
  std::vector<std::string> remarks;
  ApplyOptions options;
  options.remarks = &remarks;
  const auto rehearse = [&] { return update->Rehearse(options); };
  const Blockers blockers = AskUntil(rehearse, [](const Blockers& all) {
    return all.size() == 2 && !all[0].function.empty();
  });
  ASSERT_EQ(blockers.size(), 2u);
  EXPECT_EQ(blockers[0].thread, "one");
  EXPECT_EQ(blockers[0].tid, one.ref().tid());
  EXPECT_THAT(blockers[0].function, HasSubstr("Relay"));
  EXPECT_THAT(blockers[0].reason, HasSubstr("redefine"));
  EXPECT_THAT(blockers[1].reason,
              HasSubstr("there is no controlled thread 'nobody'"));
  EXPECT_THAT(remarks, ElementsAre(HasSubstr("thread 'two': update function")));
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kPrepared);
  one.LetGo();
  AskUntil(rehearse, [](const Blockers& all) { return all.size() == 1; });
  EXPECT_EQ(called, 0);
  EXPECT_EQ(Price(1), 101);
  options.without_stacks = true;
  const auto without = update->Rehearse(options);
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_EQ(without->size(), 1u);
}

TEST(ThreadUpdatesRehearsalTest, AThreadThatComesToNoPointIsNamed) {
  std::atomic<bool> stop{false};
  ControlledThread busy = StartPassiveThread("busy", [&] {
    while (!stop) {
    }
  });
  ControlledThread waits = StartPassiveThread("waits", [&] {
    Blocking([&] {
      while (!stop) std::this_thread::yield();
    });
  });
  const absl::Cleanup end = [&] { stop = true; };
  while (busy.ref().state() != ThreadState::kRunning ||
         waits.ref().state() != ThreadState::kBlocked) {
    std::this_thread::yield();
  }
  ThreadUpdates threads("late");
  const auto done = [](UpdateContext&) { return Attempt::Done(); };
  threads.SetUpdateFunction("busy", done);
  threads.SetUpdateFunction("waits", done);
  const auto update = MakeUpdate(std::move(threads));
  const auto blockers = update->Rehearse({});
  ASSERT_TRUE(blockers.ok()) << blockers.status();
  ASSERT_EQ(blockers->size(), 2u);
  EXPECT_EQ((*blockers)[0].thread, "busy");
  EXPECT_THAT((*blockers)[0].reason, HasSubstr("no update point"));
  EXPECT_EQ((*blockers)[1].thread, "waits");
  EXPECT_THAT((*blockers)[1].reason, HasSubstr("blocking region"));
}

TEST(ThreadUpdatesRehearsalTest, RequirementsComeFirst) {
  Relaying one("one");
  bool is_met = false, is_never = false;
  ThreadUpdates threads("relay");
  threads.Add("one", Redefine(Relay, &Relay2));
  threads.When([&] {
    if (is_never) return Attempt::Failed(absl::InternalError("never"));
    return is_met ? Attempt::Done() : Attempt::NotYet("a request is open");
  });
  const auto update = MakeUpdate(std::move(threads));
  const auto blockers = update->Rehearse({});
  ASSERT_TRUE(blockers.ok()) << blockers.status();
  ASSERT_EQ(blockers->size(), 1u);
  EXPECT_THAT((*blockers)[0].reason, HasSubstr("a request is open"));
  is_met = true;
  AskUntil([&] { return update->Rehearse({}); }, &IsInRelay);
  is_never = true;
  EXPECT_TRUE(absl::IsFailedPrecondition(update->Rehearse({}).status()));
}

}  // namespace
}  // namespace instar
