// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What each kind of step does, alone and together. Failures:
// update_plan_rollback_test.cc and update_plan_write_faults_test.cc; waiting:
// update_plan_waiting_test.cc.

#include "updates/update_plan.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "base/testing/sanitizers.h"
#include "code/portable/needs_entries_for_test.h"
#include "code/redefinable.h"
#include "code/symbols/function.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/class_version.h"
#include "heap/updatable.h"
#include "stack/exposed_values.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/known_names.h"
#include "threads/testing/looping.h"
#include "threads/update_point.h"
#include "updates/plan_test/product_for_test.h"
#include "updates/testing/functions_for_test.h"
#include "updates/testing/within.h"

namespace instar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using namespace updates_test;  // NOLINT: the functions under test

TEST(UpdatePlanTest, AnEmptyPlanIsAppliedAndUndone) {
  const auto update = MakeUpdate(UpdatePlan("nothing"));
  EXPECT_EQ(update->name(), "nothing");
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kNew);
  EXPECT_TRUE(update->Prepare().ok());
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kPrepared);
  EXPECT_TRUE(update->Apply({}).ok());
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kApplied);
  EXPECT_TRUE(absl::IsFailedPrecondition(update->Apply({})));
  EXPECT_TRUE(absl::IsFailedPrecondition(update->Prepare().status()));
  EXPECT_TRUE(update->CanUndo().ok());
  EXPECT_TRUE(update->Undo({}).ok());
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kPrepared);
  EXPECT_TRUE(absl::IsFailedPrecondition(update->Undo({})));
  EXPECT_TRUE(absl::IsFailedPrecondition(update->CanUndo()));
}

TEST(UpdatePlanTest, FunctionsSwitchTogether) {
  std::atomic<long> wrong{0}, calls{0};
  const auto relay = [&] {
    wrong += Relay(3, [] { UpdatePoint(); }) != 0;
    ++calls;
  };
  Looping one("one", relay), two("two", relay);
  UpdatePlan plan("protocol");
  plan.Redefine(Send, &Send2);
  plan.Redefine(Receive, &Receive2);
  plan.Redefine(Relay, &Relay2);
  const auto update = MakeUpdate(std::move(plan));
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(update->Apply(kPatiently).ok());
    const long seen = calls;
    while (calls < seen + 10) std::this_thread::yield();
    ASSERT_TRUE(update->Undo(kPatiently).ok());
  }
  EXPECT_EQ(wrong, 0);
}

TEST(UpdatePlanTest, EveryFormOfRedefinition) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  UpdatePlan plan("forms");
  plan.Redefine(Price, &Price2);
  plan.Redefine(&Site::Total, &Site::Total2);
  plan.Redefine(&Site::Render, &NewRender);
  static Redefinable<int(int)> slot(&Price3);
  plan.Redefine(slot, &Dwell);
  const auto update = MakeUpdate(std::move(plan));
  Site site;
  const int total = site.Total(2), render = site.Render(2);
  ASSERT_TRUE(update->Apply({}).ok());
  EXPECT_EQ(Price(1), 201);
  EXPECT_EQ(slot(1), 2);
  EXPECT_NE(site.Total(2), total);
  EXPECT_NE(site.Render(2), render);
  ASSERT_TRUE(update->Undo({}).ok());
  EXPECT_EQ(Price(1), 101);
  EXPECT_EQ(slot(1), 301);
  EXPECT_EQ(site.Total(2), total);
  EXPECT_EQ(site.Render(2), render);

  UpdatePlan named("named");
  named.RedefineNamed("instar::updates_test::Price(int)", &Price3);
  const auto by_name = MakeUpdate(std::move(named));
  ASSERT_TRUE(by_name->Apply({}).ok());
  EXPECT_EQ(Price(1), 301);
  ASSERT_TRUE(by_name->Undo({}).ok());
}

TEST(UpdatePlanTest, WhatMadeItQuickIsEndedLaterIfThatIsWanted) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  const auto first_byte = [] {
    return *reinterpret_cast<const unsigned char*>(
        Function::Of(&Price2)->entry());
  };
  constexpr unsigned char kCall = 0xE8, kJump = 0xE9;
  UpdatePlan plan("forms");
  plan.Redefine(&Price2, &Price3);
  const auto update = MakeUpdate(std::move(plan));
  ApplyOptions options;
  options.settle_later = true;
  ASSERT_TRUE(update->Apply(options).ok());
  EXPECT_EQ(first_byte(), kCall);
  EXPECT_EQ(Price2(1), 301);
  update->Settle();
  EXPECT_EQ(first_byte(), kJump);
  EXPECT_EQ(Price2(1), 301);
  ASSERT_TRUE(update->Undo({}).ok());
  const unsigned char before = first_byte();
  EXPECT_NE(before, kCall);
  ASSERT_TRUE(update->Apply(options).ok());
  ASSERT_TRUE(update->Undo({}).ok());
  EXPECT_EQ(first_byte(), before);
  EXPECT_EQ(Price2(1), 201);
}

TEST(UpdatePlanTest, WhatIsWrongIsSaidBeforeAnyThreadIsAsked) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  // Would keep a rendezvous from ever being held.
  std::atomic<bool> stop{false};
  ControlledThread busy = StartPassiveThread("busy", [&] {
    while (!stop) {
    }
  });
  UpdatePlan plan("wrong");
  plan.RedefineNamed("instar::updates_test::Prices(int)", &Price2);
  const auto update = MakeUpdate(std::move(plan));
  EXPECT_TRUE(absl::IsNotFound(update->Prepare().status()));
  const absl::Status status = update->Apply(kPatiently);
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kNew);

  UpdatePlan empty_hook("hook");
  empty_hook.Before(nullptr);
  EXPECT_TRUE(absl::IsInvalidArgument(
      MakeUpdate(std::move(empty_hook))->Apply(kPatiently)));
  const auto capture = [](const HeldThread&) -> absl::StatusOr<int> {
    return 1;
  };
  using OtherCapture = std::function<absl::StatusOr<int>(const HeldThread&)>;
  for (const ThreadMain& empty :
       {ThreadMain(nullptr), ThreadMain(std::function<void()>()),
        ThreadMain(std::function<int()>()),
        ThreadMain(static_cast<void (*)()>(nullptr)),
        MainWith(std::function<void(int)>(), capture),
        MainWith(static_cast<void (*)(int)>(nullptr), capture),
        MainWith([](int) {}, OtherCapture())}) {
    UpdatePlan empty_main("main");
    empty_main.Reboot("busy", empty);
    EXPECT_TRUE(absl::IsInvalidArgument(
        MakeUpdate(std::move(empty_main))->Apply(kPatiently)));
  }
  stop = true;
}

// What blocks now, asked until it is what is expected: a thread may need longer
// to an update point than a rehearsal waits.
std::vector<Blocker> RehearseUntil(
    Update& update,
    const std::function<bool(const std::vector<Blocker>&)>& is) {
  while (true) {
    absl::StatusOr<std::vector<Blocker>> blockers = update.Rehearse({});
    if (!blockers.ok()) {
      ADD_FAILURE() << blockers.status();
      return {};
    }
    if (is(*blockers)) return *std::move(blockers);
    std::this_thread::yield();
  }
}

TEST(UpdatePlanTest, ARehearsalChangesNothing) {
  std::atomic<bool> inside{false}, go_on{false}, stop{false};
  ControlledThread thread = StartPassiveThread("relay", [&] {
    Relay(3, [&] {
      inside = true;
      while (!go_on) UpdatePoint();
    });
    inside = false;
    while (!stop) UpdatePoint();
  });
  const auto let_it_end = absl::MakeCleanup([&] { go_on = stop = true; });
  while (!inside) std::this_thread::yield();
  auto product = std::make_unique<Product>(1);
  int hooks = 0;
  UpdatePlan plan("protocol");
  plan.Redefine(Relay, &Relay2);
  plan.Redefine(Price, &Price2);
  plan.ConvertEagerly<Product, ProductV2>();
  const auto count = [&] {
    ++hooks;
    return absl::OkStatus();
  };
  plan.Before(count, count);
  const auto update = MakeUpdate(std::move(plan));
  const auto is_there = [](const std::vector<Blocker>& blockers) {
    return blockers.size() == 1 && blockers[0].frame >= 0 &&
           !blockers[0].function.empty() &&
           blockers[0].reason.find("active") != std::string::npos;
  };
  const std::vector<Blocker> blockers = RehearseUntil(*update, is_there);
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kPrepared);
  ASSERT_EQ(blockers.size(), 1u);
  EXPECT_EQ(blockers[0].thread, "relay");
  EXPECT_EQ(blockers[0].tid, thread.ref().tid());
  EXPECT_THAT(blockers[0].function, HasSubstr("Relay"));

  go_on = true;
  RehearseUntil(*update, [](const auto& b) { return b.empty(); });
  EXPECT_FALSE(inside);
  EXPECT_EQ(hooks, 0);
  EXPECT_EQ(Price(1), 101);
  EXPECT_EQ(product->Version(), 1);
  EXPECT_EQ(update->hold_times().threads, 0);

  ASSERT_TRUE(update->Apply(kPatiently).ok());
  EXPECT_EQ(Price(1), 201);
  EXPECT_TRUE(absl::IsFailedPrecondition(update->Rehearse({}).status()));
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kApplied);
  ASSERT_TRUE(update->Undo(kPatiently).ok());
  EXPECT_EQ(Price(1), 101);
}

// None waits for another: a thread that comes to no update point is named, and
// what the others are in as well.
TEST(UpdatePlanTest, ARehearsalAsksEachThreadByItself) {
  std::atomic<bool> inside{false}, stop{false};
  ControlledThread busy = StartPassiveThread("busy", [&] {
    while (!stop) {
    }
  });
  ControlledThread thread = StartPassiveThread("relay", [&] {
    Relay(3, [&] {
      inside = true;
      while (!stop) {
        UpdatePoint();
      }
    });
  });
  const auto let_them_end = absl::MakeCleanup([&] { stop = true; });
  while (!inside) std::this_thread::yield();
  UpdatePlan plan("protocol");
  plan.Redefine(Relay, &Relay2);
  DeclareThread("nobody");
  plan.Reboot("nobody", [] {});
  plan.OnlyRegisteredThreads();
  const auto update = MakeUpdate(std::move(plan));
  RehearseUntil(*update, [](const std::vector<Blocker>& blockers) {
    const auto has = [&](const char* thread, const char* reason) {
      return std::any_of(
          blockers.begin(), blockers.end(), [&](const Blocker& blocker) {
            return blocker.thread == thread &&
                   blocker.reason.find(reason) != std::string::npos;
          });
    };
    return has("busy", "comes to no update point") &&
           has("relay", "active: ") &&
           has("", "there is no controlled thread 'nobody'");
  });
  // One that nobody registered is in nobody's way, and is told of.
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  std::thread other([&] {
    Relay(3, [&] {
      while (!stop) std::this_thread::yield();
    });
  });
  const auto join = absl::MakeCleanup([&] {
    stop = true;
    other.join();
  });
  ApplyOptions options;
  std::vector<std::string> remarks;
  options.remarks = &remarks;
  do {
    ASSERT_TRUE(update->Rehearse(options).ok());
  } while (remarks.empty());
  EXPECT_THAT(remarks[0], testing::AllOf(HasSubstr("is not registered"),
                                         HasSubstr("Relay")));
  options.without_stacks = true;
  const auto blockers = update->Rehearse(options);
  ASSERT_TRUE(blockers.ok()) << blockers.status();
  EXPECT_TRUE(blockers->empty());
}

TEST(UpdatePlanTest, RequirementsAreAsked) {
  Attempt first = Attempt::Done(), second = Attempt::Done();
  UpdatePlan plan("required");
  plan.When([&] { return first; });
  plan.When([&] { return second; });
  const auto update = MakeUpdate(std::move(plan));
  EXPECT_TRUE(update->Requirements().is_done());
  first = Attempt::NotYet("3 requests are open");
  second = Attempt::NotYet("it is day");
  const Attempt asked = update->Requirements();
  EXPECT_TRUE(asked.is_not_yet());
  EXPECT_EQ(asked.reason(), "3 requests are open; it is day");
  const auto blockers = update->Rehearse({});
  ASSERT_TRUE(blockers.ok()) << blockers.status();
  ASSERT_EQ(blockers->size(), 2u);
  EXPECT_EQ((*blockers)[1].reason, "it is day");
  second = Attempt::Failed(absl::InternalError("the schema is another"));
  EXPECT_TRUE(update->Requirements().is_failed());
  EXPECT_TRUE(absl::IsFailedPrecondition(update->Requirements().status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(update->Rehearse({}).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(update->Prepare().status()));
  EXPECT_TRUE(MakeUpdate(UpdatePlan("none"))->Requirements().is_done());
}

TEST(UpdatePlanTest, ARehearsalSaysWhatDoesNotFit) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  UpdatePlan plan("wrong");
  plan.RedefineNamed("instar::updates_test::Prices(int)", &Price2);
  const auto update = MakeUpdate(std::move(plan));
  EXPECT_TRUE(absl::IsNotFound(update->Rehearse({}).status()));
  EXPECT_EQ(update->Progress().phase, UpdatePhase::kNew);
}

TEST(UpdatePlanTest, ObjectsAreConverted) {
  std::vector<std::unique_ptr<Product>> products;
  for (int i = 0; i < 100; ++i)
    products.push_back(std::make_unique<Product>(i));
  UpdatePlan plan("ratings");
  plan.ConvertEagerly<Product, ProductV2>();
  const auto update = MakeUpdate(std::move(plan));
  const auto forecast = update->Prepare();
  ASSERT_TRUE(forecast.ok()) << forecast.status();
  EXPECT_THAT(forecast->steps, ElementsAre(HasSubstr("Product")));
  ASSERT_TRUE(update->Apply({}).ok());
  for (const auto& product : products) EXPECT_EQ(product->Version(), 2);
  EXPECT_EQ(update->Progress().objects_converted, 100u);
  EXPECT_EQ(update->Progress().objects_total, 100u);
  ASSERT_TRUE(update->Undo({}).ok());
  for (const auto& product : products) EXPECT_EQ(product->Version(), 1);
  EXPECT_EQ(update->Progress().objects_converted, 0u);
}

// Runs `call` in a function with the class in its signature. (Inlined, nothing
// would tell: it is in an unnamed namespace.)
__attribute__((noinline)) void Inspect(const Product& product,
                                       const std::function<void()>& call) {
  call();
  EXPECT_GE(product.stock, 0);
}

TEST(UpdatePlanTest, NobodyMayBeInsideOfAConvertedClass) {
  for (int way = 0; way < 3; ++way) {
    auto product = std::make_unique<Product>(1);
    std::atomic<bool> inside{false}, leave{false}, stop{false};
    ControlledThread thread = StartPassiveThread("inspector", [&] {
      Inspect(*product, [&] {
        inside = true;
        while (!leave) UpdatePoint();
      });
      while (!stop) UpdatePoint();
    });
    const auto let_it_end = absl::MakeCleanup([&] { leave = stop = true; });
    while (!inside) std::this_thread::yield();
    const auto make = [way](ClassFunctionsOptions functions) {
      UpdatePlan plan("ratings");
      if (way == 0) plan.ConvertEagerly<Product, ProductV2>({}, functions);
      if (way == 1) plan.ConvertLazily<Product, ProductV2>({}, functions);
      if (way == 2)
        plan.ConvertProgressively<Product, ProductV2>({}, functions);
      return MakeUpdate(std::move(plan));
    };
    const auto update = make({});
    const std::vector<Blocker> blockers =
        RehearseUntil(*update, [](const std::vector<Blocker>& b) {
          // On a busy machine it may be that the thread did not come in time.
          return b.size() == 1 && absl::StrContains(b[0].function, "Inspect(");
        });
    ASSERT_EQ(blockers.size(), 1u);
    EXPECT_EQ(blockers[0].thread, "inspector");
    EXPECT_GE(blockers[0].frame, 0);
    ApplyOptions impatient;
    impatient.timeout = std::chrono::milliseconds(1);
    const absl::Status status = update->Apply(impatient);
    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    EXPECT_EQ(product->Version(), 1);

    // Whoever knows that it does not matter says so.
    ClassFunctionsOptions functions;
    functions.leave_out = {"instar::(anonymous namespace)::Inspect"};
    const auto told = make(functions);
    ASSERT_TRUE(told->Apply(kPatiently).ok());
    ASSERT_TRUE(told->Undo(kPatiently).ok());

    leave = true;
    ASSERT_TRUE(update->Apply(kPatiently).ok());
    if (way == 0) {
      EXPECT_EQ(product->Version(), 2);
    }
    ASSERT_TRUE(update->Undo(kPatiently).ok());
    EXPECT_EQ(product->Version(), 1);
  }
}

TEST(UpdatePlanTest, ARebootTakesValuesFromTheOldStack) {
  std::atomic<int> running{0}, listener_seen{0};
  std::atomic<bool> stop{false};
  const std::function<void(int, int)> serve = [&](int version, int listener) {
    ExposedValue expose("listener", listener);
    listener_seen = listener;
    running = version;
    while (!stop) UpdatePoint();
  };
  ControlledThread thread = StartPassiveThread("socket", serve, 1, 17);
  while (running != 1) std::this_thread::yield();
  const auto version = [&](int number) {
    return MainWith(
        [&, number](int listener) { serve(number, listener + 1); },
        [](const HeldThread&) { return ReadExposed<int>("listener"); });
  };
  UpdatePlan plan("reboot");
  plan.Reboot("socket", version(2), version(1));
  const auto update = MakeUpdate(std::move(plan));
  ASSERT_TRUE(update->Apply(kPatiently).ok());
  while (running != 2) std::this_thread::yield();
  EXPECT_EQ(listener_seen, 18);
  ASSERT_TRUE(update->Undo(kPatiently).ok());
  while (running != 1) std::this_thread::yield();
  EXPECT_EQ(listener_seen, 19);
  stop = true;
}

TEST(UpdatePlanTest, ARebootIsUndoneWhenItsThreadHasEndedSince) {
  std::atomic<bool> rebooted{false};
  ControlledThread thread = StartPassiveThread("ending", [] {
    while (true) UpdatePoint();
  });
  UpdatePlan plan("reboot");
  plan.Reboot(
      "ending", [&] { rebooted = true; }, [] { ADD_FAILURE(); });
  const auto update = MakeUpdate(std::move(plan));
  ASSERT_TRUE(update->Apply(kPatiently).ok());
  thread.Join();
  EXPECT_TRUE(rebooted);
  const absl::Status undone = update->Undo(kPatiently);
  EXPECT_TRUE(undone.ok()) << undone;
}

TEST(UpdatePlanTest, OneMomentForAllSteps) {
  auto shared = std::make_unique<Product>(1);
  std::atomic<long> mixed{0};
  const auto look = [&] {
    const int price = Price(1);
    const int version = shared->Version();
    if (price / 100 != version) ++mixed;
  };
  Looping one("one", look), two("two", look), three("three", look);
  UpdatePlan plan("both");
  plan.ConvertEagerly<Product, ProductV2>();
  plan.Redefine(Price, &Price2);
  const auto update = MakeUpdate(std::move(plan));
  for (int i = 0; i < 20; ++i) {
    absl::Status status = update->Apply(kPatiently);
    if (!status.ok()) {
      FAIL() << status;
    }
    status = update->Undo(kPatiently);
    ASSERT_TRUE(status.ok()) << status;
  }
  EXPECT_EQ(mixed, 0);
}

}  // namespace
}  // namespace instar
