// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Each mechanism of the library in each way to use it: in a plan, in a thread
// at its own update point, on the thread that applies per-thread updates, and
// alone. It is checked, which changes nothing, applied, undone, and applied and
// undone again, with the same words.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <ostream>
#include <string>
#include <thread>
#include <tuple>
#include <typeinfo>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/testing/eventually.h"
#include "base/testing/sanitizers.h"
#include "code/redefinable.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/appended_member.h"
#include "heap/lazy_proxy.h"
#include "heap/shadow/shadow.h"
#include "heap/updatable.h"
#include "stack/exposed_values.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "updates/change.h"
#include "updates/mechanisms/append_members.h"
#include "updates/mechanisms/convert.h"
#include "updates/mechanisms/hook.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/mechanisms/new_thread.h"
#include "updates/mechanisms/reboot.h"
#include "updates/mechanisms/redefine.h"
#include "updates/mechanisms/redefine_entries.h"
#include "updates/mechanisms/replace_when_held.h"
#include "updates/mechanisms/set_exposed.h"
#include "updates/mechanisms/shadow_data.h"
#include "updates/mechanisms/transfer.h"
#include "updates/testing/within.h"
#include "updates/thread_updates.h"
#include "updates/update.h"
#include "updates/update_plan.h"

namespace instar {
namespace matrix_test {

using testing::ElementsAre;
using testing::HasSubstr;

// --- A program with one thread, which shows its version: 1, or 2.

std::atomic<int> g_seen{0};
std::atomic<bool> g_stop{false};

void Show(int version) {
  g_seen = version;
  UpdatePoint();
}
template <int kVersion>
void ShowForEver() {
  while (!g_stop) Show(kVersion);
}

// The one after the next: the next may have been found out before.
int Seen() {
  int seen = 0;
  for (int i = 0; i < 2; ++i) {
    g_seen = 0;
    while ((seen = g_seen) == 0) std::this_thread::yield();
  }
  return seen;
}
void AwaitVersion(int version) {
  while (Seen() != version) {
  }
}

// Functions.
__attribute__((noinline)) int One() { return 1; }
int Two() { return 2; }
Redefinable<int()> g_slot(&One);

template <typename F>
std::uintptr_t At(F* function) {
  return reinterpret_cast<std::uintptr_t>(function);
}

// Objects.
template <int kNumber>
struct Item : Updatable<Item<kNumber>> {
  virtual int Version() const { return 1; }
};
template <int kNumber>
struct ItemV2 : Item<kNumber> {
  explicit ItemV2(Item<kNumber>&& old) noexcept
      : Item<kNumber>(std::move(old)) {}
  int Version() const override { return 2; }
};

// A member of them that the next build has at its end: how many there are.
std::atomic<int> g_members{0};
AppendedMember Member() {
  using Object = Item<4>;
  constexpr std::size_t kAt = sizeof(Object);
  return {&Object::Class,
          &typeid(Object),
          "member",
          kAt,
          kAt + sizeof(double),
          [](void* object) {
            ::new (static_cast<char*>(object) + kAt) double(0.5);
            ++g_members;
          },
          [](void*) noexcept { --g_members; }};
}

// What is attached to them.
struct Mark {
  Mark() { ++count; }
  ~Mark() { --count; }
  static inline std::atomic<int> count{0};
};
Shadow<Mark> g_marks("marks");
Item<5> g_marked;

// Variables. What the next version has is shown.
int old_rate = 20;
int g_rate = 1;
int g_opened = 1;

// Of a thread that an update starts.
std::atomic<int> g_helpers{0};
struct Helping {
  Helping() { ++g_helpers; }
  ~Helping() { --g_helpers; }
};
void Help() {
  const Helping helping;
  while (!g_stop) UpdatePoint();
}

// An activation that is replaced half way, and back.
template <int kVersion>
int Count(int rounds) {
  const ExposedValue expose("rounds", rounds);
  for (; !g_stop; ++rounds) Show(kVersion);
  return rounds;
}
__attribute__((noinline)) int CountOnce() {
  int rounds = 0;
  const ExposedValue expose("rounds", rounds);
  for (; !g_stop; ++rounds) Show(1);
  return rounds;
}
absl::StatusOr<int> Rounds(StackBounds frame) {
  return ReadExposed<int>("rounds", frame);
}

// --- The mechanisms, each with the program that it changes.

struct Case {
  std::string name;
  std::function<void()> main;  // of the thread
  std::function<std::shared_ptr<Mechanism>()> make;
  // With all threads stopped, wherever they are. What a thread does itself when
  // it goes on (a new one that it ends, when that is undone) needs one that has
  // come to a point.
  bool works_anywhere = true;
  // What the program does once it is applied.
  std::function<void()> then = [] {};
};

void PrintTo(const Case& it, std::ostream* out) { *out << it.name; }

// `shows` says the version, again and again.
std::function<void()> Showing(std::function<int()> shows) {
  return [shows = std::move(shows)] {
    while (!g_stop) Show(shows());
  };
}

template <int kNumber>
Case Conversion(const char* name, std::shared_ptr<Mechanism> (*make)()) {
  return {name,
          [] {
            // A proxy converts at the next access what is not converted yet.
            LazyUnique<Item<kNumber>> item(std::make_unique<Item<kNumber>>());
            while (!g_stop) Show(item->Version());
          },
          make};
}

std::vector<Case> AllCases() {
  return {
      {"Redefine", Showing([] { return One(); }),
       [] { return Redefine(&One, &Two); }},
      {"RedefineAtOnce", Showing([] { return One(); }),
       [] { return RedefineAtOnce(&One, &Two); }},
      {"RedefineSlot", Showing([] { return g_slot(); }),
       [] { return Redefine(g_slot, &Two); }},
      {"RedefineEntries", Showing([] { return One(); }),
       [] {
         return RedefineEntries({{At(&One), At(&Two), "One"}});
       }},
      {"RedefineQuiescentEntries", Showing([] { return One(); }),
       [] {
         EntryRedefinition entry = {At(&One), At(&Two), "One"};
         entry.must_be_quiescent = true;
         return RedefineEntries({entry, {At(&Help), 0, "Help"}});
       }},
      {"Reboot", &ShowForEver<1>,
       [] { return Reboot("worker", &ShowForEver<2>, &ShowForEver<1>); },
       /*works_anywhere=*/false},
      Conversion<1>("ConvertEagerly",
                    [] { return ConvertEagerly<Item<1>, ItemV2<1>>(); }),
      Conversion<2>("ConvertLazily",
                    [] { return ConvertLazily<Item<2>, ItemV2<2>>(); }),
      Conversion<3>("ConvertProgressively",
                    [] { return ConvertProgressively<Item<3>, ItemV2<3>>(); }),
      {"AppendMembers",
       [] {
         const auto item = std::make_unique<Item<4>>();
         while (!g_stop) Show(1 + g_members);
       },
       [] { return AppendMembers({Member()}); }},
      {"ShadowData", Showing([] { return 1 + Mark::count; }),
       [] { return EndWithUpdate(&g_marks); },
       /*works_anywhere=*/true, [] { g_marks.Attach(&g_marked); }},
      {"NewThread", Showing([] { return 1 + g_helpers; }),
       [] { return NewThread("helper", ThreadKind::kPassive, &Help); },
       /*works_anywhere=*/false},
      {"Hook", Showing([] { return g_opened; }),
       [] {
         const auto set = [](int version) {
           return [version] {
             g_opened = version;
             return absl::OkStatus();
           };
         };
         return MakeHook("hook that opens", set(2), set(1));
       }},
      {"ReplaceActivation", [] { CountOnce(); },
       [] {
         return ReplaceWhenHeld("worker",
                                {Replacement(&CountOnce, &Count<2>, &Rounds),
                                 Replacement(&Count<1>, &Count<2>, &Rounds)},
                                {Replacement(&Count<2>, &Count<1>, &Rounds)});
       },
       /*works_anywhere=*/false},
      {"Transfer", Showing([] { return old_rate > 0 ? g_rate : 0; }),
       [] {
         return Transfer<int, int>("instar::matrix_test::old_rate", &g_rate,
                                   [](const int& old, int& to) {
                                     to = old / 10;
                                     return absl::OkStatus();
                                   });
       }},
      {"SetExposed",
       [] {
         int version = 1;
         const ExposedValue expose("version", version);
         while (!g_stop) Show(version);
       },
       [] { return SetExposed("worker", "version", 2); },
       /*works_anywhere=*/false},
  };
}

// --- The ways to use them.

enum class Way { kPlan, kInThread, kStarted, kAlone, kAloneWithAllStopped };

void PrintTo(Way way, std::ostream* out) {
  constexpr const char* kNames[] = {"Plan", "InThread", "Started", "Alone",
                                    "AloneWithAllStopped"};
  *out << kNames[static_cast<int>(way)];
}

// What all of them have in common.
class InUse {
 public:
  virtual ~InUse() = default;
  virtual std::string Words() = 0;
  virtual absl::StatusOr<std::vector<Blocker>> Check() = 0;
  virtual absl::Status CanUndo() = 0;
  virtual absl::Status Apply() = 0;
  virtual absl::Status Undo() = 0;
};

class InAnUpdate final : public InUse {
 public:
  explicit InAnUpdate(std::unique_ptr<Update> update)
      : update_(std::move(update)) {}
  std::string Words() override {
    const auto forecast = update_->Prepare();
    return forecast.ok() ? testing::PrintToString(forecast->steps)
                         : forecast.status().ToString();
  }
  absl::StatusOr<std::vector<Blocker>> Check() override {
    return update_->Rehearse({});
  }
  absl::Status CanUndo() override { return update_->CanUndo(); }
  absl::Status Apply() override { return update_->Apply(kPatiently); }
  absl::Status Undo() override { return update_->Undo(kPatiently); }

 private:
  const std::unique_ptr<Update> update_;
};

class Alone final : public InUse {
 public:
  Alone(std::shared_ptr<Mechanism> mechanism, Stacks stacks)
      : change_(std::move(mechanism), stacks) {}
  std::string Words() override { return change_.name(); }
  absl::StatusOr<std::vector<Blocker>> Check() override {
    return change_.Check();
  }
  absl::Status CanUndo() override { return change_.CanUndo(); }
  absl::Status Apply() override {
    return UntilDone([this] { return change_.Apply(); });
  }
  absl::Status Undo() override {
    return UntilDone([this] { return change_.Undo(); });
  }

 private:
  static absl::Status UntilDone(const std::function<Attempt()>& attempt) {
    Attempt last = attempt();
    Eventually(
        [&] { return !last.is_not_yet() || !(last = attempt()).is_not_yet(); });
    if (last.is_not_yet()) return absl::DeadlineExceededError(last.reason());
    return last.is_done() ? absl::OkStatus() : last.status();
  }

  Change change_;
};

std::unique_ptr<InUse> Use(Way way, std::shared_ptr<Mechanism> mechanism) {
  UpdatePlan plan("matrix");
  ThreadUpdates threads("matrix");
  switch (way) {
    case Way::kPlan:
      plan.Add(std::move(mechanism));
      return std::make_unique<InAnUpdate>(MakeUpdate(std::move(plan)));
    case Way::kInThread:
      threads.Add("worker", std::move(mechanism));
      break;
    case Way::kStarted:
      threads.Start(std::move(mechanism), Stacks::kControlledThreads);
      break;
    case Way::kAlone:
      return std::make_unique<Alone>(std::move(mechanism),
                                     Stacks::kControlledThreads);
    case Way::kAloneWithAllStopped:
      return std::make_unique<Alone>(std::move(mechanism), Stacks::kAllThreads);
  }
  return std::make_unique<InAnUpdate>(MakeUpdate(std::move(threads)));
}

class MechanismMatrixTest
    : public testing::TestWithParam<std::tuple<Case, Way>> {};

TEST_P(MechanismMatrixTest, IsCheckedAppliedAndUndone) {
  const auto& [it, way] = GetParam();
  if (way == Way::kAloneWithAllStopped) {
    INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
    if (!it.works_anywhere) {
      GTEST_SKIP() << "its thread has to come to an update point";
    }
  }
  g_stop = false;
  const ControlledThread worker = StartPassiveThread("worker", it.main);
  const struct AtEnd {
    ~AtEnd() { g_stop = true; }
  } at_end;
  AwaitVersion(1);
  const std::shared_ptr<Mechanism> mechanism = it.make();
  const std::unique_ptr<InUse> in_use = Use(way, mechanism);
  EXPECT_THAT(in_use->Words(), HasSubstr(mechanism->name()));
  for (int round = 0; round < 2; ++round) {
    SCOPED_TRACE(round);
    absl::StatusOr<std::vector<Blocker>> blockers = in_use->Check();
    // At this very moment something may be in the way.
    while (blockers.ok() && !blockers->empty()) blockers = in_use->Check();
    ASSERT_TRUE(blockers.ok()) << blockers.status();
    EXPECT_EQ(Seen(), 1);
    ASSERT_EQ(in_use->Apply(), absl::OkStatus());
    it.then();
    AwaitVersion(2);
    EXPECT_EQ(in_use->CanUndo(), absl::OkStatus());
    ASSERT_EQ(in_use->Undo(), absl::OkStatus());
    AwaitVersion(1);
  }
}

std::string NameOf(
    const testing::TestParamInfo<MechanismMatrixTest::ParamType>& info) {
  const auto& [it, way] = info.param;
  return it.name + "In" + testing::PrintToString(way);
}

// Of those alone that ask for what the mechanism cannot do, the names.
std::vector<std::string> RefusedWith(const ChangeOptions& options,
                                     const std::string& text) {
  std::vector<std::string> refused;
  for (const Case& it : AllCases()) {
    Change change(it.make(), options);
    const absl::Status status = change.Prepare();
    if (status.ok()) continue;
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_EQ(status.message(), absl::StrCat(change.name(), text));
    EXPECT_EQ(change.Apply().status(), status);
    EXPECT_EQ(change.Check().status(), status);
    refused.push_back(it.name);
  }
  return refused;
}

TEST(RefusedMechanismTest, WhatOtherThreadsMayUse) {
  const ControlledThread worker = StartPassiveThread("worker", [] {});
  EXPECT_THAT(RefusedWith(Stacks::kThisThread,
                          ": other threads may use what is changed, but only "
                          "the calling thread's stack is looked at; choose "
                          "Stacks::kControlledThreads"),
              ElementsAre("ConvertEagerly", "ConvertLazily",
                          "ConvertProgressively", "AppendMembers", "ShadowData",
                          "NewThread", "Hook", "Transfer"));
}

TEST(RefusedMechanismTest, ForcedQuiescenceOfWhatHasNoEntriesToWaitAt) {
  const ControlledThread worker = StartPassiveThread("worker", [] {});
  ChangeOptions forced(Stacks::kControlledThreads);
  forced.forced_quiescence = std::chrono::seconds(1);
  EXPECT_THAT(
      RefusedWith(forced,
                  ": only what Redefine() redefines can be forced to be "
                  "quiescent, where it is no slot: calls wait at the entries"),
      ElementsAre("RedefineAtOnce", "RedefineSlot", "RedefineEntries",
                  "RedefineQuiescentEntries", "Reboot", "ConvertEagerly",
                  "ConvertLazily", "ConvertProgressively", "AppendMembers",
                  "ShadowData", "NewThread", "Hook", "ReplaceActivation",
                  "Transfer", "SetExposed"));
}

INSTANTIATE_TEST_SUITE_P(
    , MechanismMatrixTest,
    testing::Combine(testing::ValuesIn(AllCases()),
                     testing::Values(Way::kPlan, Way::kInThread, Way::kStarted,
                                     Way::kAlone, Way::kAloneWithAllStopped)),
    &NameOf);

}  // namespace matrix_test
}  // namespace instar
