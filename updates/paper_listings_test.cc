// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The listings of PyMoult (HotSWUP'13), sections 2.1 to 2.3, line by line: the
// Python line stands beside each line of C++. (Figures 3, 5 and 6 are
// examples/.)

#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "code/portable/needs_entries_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/class_version.h"
#include "heap/lazy_proxy.h"
#include "heap/updatable.h"
#include "threads/controlled_thread.h"
#include "threads/thread_ref.h"
#include "threads/update_point.h"
#include "threads/update_request.h"
#include "updates/change.h"
#include "updates/mechanisms/convert.h"
#include "updates/mechanisms/redefine.h"
#include "updates/reboot_thread.h"
#include "updates/testing/functions_for_test.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using namespace updates_test;  // NOLINT: Price() and Depth() are updatable

// Longer than any test takes.
constexpr std::chrono::seconds kLimit(60);

void Finish(UpdateRequest request) {
  request.Trigger();
  const absl::Status done = request.Await(kLimit);
  EXPECT_TRUE(done.ok()) << done;
}

class PaperListingsTest : public testing::Test {
 protected:
  ~PaperListingsTest() override { End(); }
  void End() {
    stop_ = leave_ = true;
    threads_.clear();  // joins them
  }

  // In the paper's listing, what stands for the program's work is "...".
  // clang-format off
  void PassiveMain() {                    // def passive_main():
    while (!stop_) {                      //   ...
      UpdatePoint();                      //   start_passive_update()
      passive_price_ = Price(1);          //   ...
    }
  }
  void ActiveMain() {                     // def active_main(): ...
    active_result_ = Depth(3, [this] {
      active_is_inside_ = true;
      while (!leave_) active_price_ = Price(1);
    });
    while (!stop_) active_price_ = Price(1);
  }
  // clang-format on

  void StartThreads() {
    // threads = start_passive_threads(passive_main)
    threads_.push_back(
        StartPassiveThread("passive", [this] { PassiveMain(); }));
    // threads += start_active_threads(active_main)
    threads_.push_back(StartActiveThread("active", [this] { ActiveMain(); }));
    // register_threads(threads)
    //   To the socket server that is Manager::Register() (manager/manager.h).
    //   A controlled thread takes update functions from its start.
    while (!active_is_inside_) std::this_thread::yield();
    EXPECT_EQ(ControlledThreads().size(), 2u);
  }

  std::atomic<bool> stop_{false}, leave_{false}, active_is_inside_{false};
  std::atomic<int> passive_price_{0}, active_price_{0}, active_result_{0};
  std::vector<ControlledThread> threads_;
};

// Section 2.1. Each thread pauses its own code and runs the update function in
// a continuation of its own; the active one needs no line of code for that.
TEST_F(PaperListingsTest, ControlledThreads) {
  StartThreads();
  EXPECT_EQ(threads_[0].kind(), ThreadKind::kPassive);
  EXPECT_EQ(threads_[1].kind(), ThreadKind::kActive);
  for (const ControlledThread& thread : threads_) {
    if (thread.kind() == ThreadKind::kActive) {
      INSTAR_NEEDS_FUNCTION_ENTRIES();
    }
    pid_t tid = 0;
    Finish(SetUpdateFunction(thread, [&](UpdateContext& context) {
      tid = gettid();
      EXPECT_EQ(context.thread(), thread.ref());
      return Attempt::Done();
    }));
    EXPECT_EQ(tid, thread.ref().tid());
  }
}

// "If the checking fails the update function will be re-executed at next
// point."
TEST_F(PaperListingsTest, QuiescenceIsTheUpdateFunctionsTask) {
  StartThreads();
  int executed = 0;
  Finish(SetUpdateFunction(threads_[0], [&](UpdateContext&) {
    return ++executed < 3 ? Attempt::NotYet("not quiescent") : Attempt::Done();
  }));
  EXPECT_EQ(executed, 3);
}

// Section 2.2, safe function redefinition.
TEST_F(PaperListingsTest, SafeRedefinition) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  StartThreads();
  const ThreadRef thread = threads_[0];
  while (passive_price_ != 101) std::this_thread::yield();
  // def new_fun(args): ...
  int (*const new_fun)(int) = &Price2;
  // upd_fun = safe_redefine("fun", new_fun, "__main__")
  auto upd_fun = Change(Redefine("instar::updates_test::Price", new_fun));
  // set_update_function(upd_fun, thread)
  UpdateRequest request = SetUpdateFunction(thread, upd_fun);
  Finish(request);
  while (passive_price_ != 201) std::this_thread::yield();
  Finish(SetUpdateFunction(thread, upd_fun.UndoFunction()));
  while (passive_price_ != 101) std::this_thread::yield();
}

// Section 2: "each thread has an update function and starts it independently".
// One is updated while another is not yet, and sees a mixture meanwhile.
TEST_F(PaperListingsTest, OneThreadIsUpdatedWhileAnotherIsNotYet) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  StartThreads();
  auto update_of_passive = Change(Redefine(Price, &Price2));
  auto update_of_active = Change(Redefine(&Depth, &Depth2));
  UpdateRequest active = SetUpdateFunction(threads_[1], update_of_active);
  active.Trigger();
  Finish(SetUpdateFunction(threads_[0], update_of_passive));
  while (passive_price_ != 201) std::this_thread::yield();
  while (active.attempts() < 2) std::this_thread::yield();
  EXPECT_FALSE(active.is_finished());
  EXPECT_THAT(active.reason(),
              AllOf(HasSubstr("Depth"), HasSubstr("thread 'active'")));
  while (active_price_ != 201) std::this_thread::yield();  // in the old Depth()
  EXPECT_FALSE(update_of_active.is_applied());
  leave_ = true;
  const absl::Status done = active.Await(kLimit);
  EXPECT_TRUE(done.ok()) << done;
  EXPECT_EQ(active_result_, 3);
  EXPECT_EQ(Depth(3, [] {}), -3);
  End();
  EXPECT_TRUE(update_of_active.Undo().is_done());
  EXPECT_TRUE(update_of_passive.Undo().is_done());
}

// Section 2.2, thread reboot.
TEST_F(PaperListingsTest, ThreadReboot) {
  StartThreads();
  for (const ControlledThread& thread : threads_) {
    if (thread.kind() == ThreadKind::kActive) {
      INSTAR_NEEDS_FUNCTION_ENTRIES();
    }
    std::atomic<int> got{0};
    pid_t tid = 0;
    // def new_main(args): ...
    const auto new_main = [&](int args) {
      tid = gettid();
      got = args;
    };
    // update_fun = reboot_thread(new_main)
    auto update_fun = RebootThread(new_main, 42);
    // set_update_function(update_fun, thread)
    UpdateRequest request = SetUpdateFunction(thread, std::move(update_fun));
    Finish(request);
    while (thread.state() != ThreadState::kEnded) std::this_thread::yield();
    EXPECT_EQ(got, 42);
    EXPECT_EQ(tid, thread.ref().tid());
  }
  EXPECT_EQ(active_result_, 0);  // its old function has not come to its end
}

// pool = enable_eager_object_conversion()
//   The pool is that of the class: all objects are in it.
struct Foo : Updatable<Foo> {
  virtual int Version() const { return 1; }
  int value = 7;
};
// class FooV2(object): ...
struct FooV2 : Foo {
  explicit FooV2(Foo&& old) noexcept : Foo(std::move(old)) {}
  int Version() const override { return 2; }
  int added = 35;
};

// Section 2.3, eager object conversion.
TEST_F(PaperListingsTest, EagerObjectConversion) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();  // of an active thread
  std::vector<std::unique_ptr<Foo>> objects;
  for (int i = 0; i < 100; ++i) objects.push_back(std::make_unique<Foo>());
  const auto main1 = [this] {
    while (!stop_) Price(1);
  };
  const auto main3 = [this] {
    while (!stop_) UpdatePoint();
  };
  const auto main2 = main1;
  const auto main4 = main3;
  // threads = start_active_threads(pool,main1,main2)
  threads_.push_back(StartActiveThread("main1", main1));
  threads_.push_back(StartActiveThread("main2", main2));
  // + start_passive_threads(pool,main3,main4)
  threads_.push_back(StartPassiveThread("main3", main3));
  threads_.push_back(StartPassiveThread("main4", main4));
  // register_threads(threads)
  EXPECT_EQ(ControlledThreads().size(), 4u);
  // # Using eager object conversion in thread 0
  // update_fun = eager_update_class(Foo,FooV2)
  auto update_fun = Change(ConvertEagerly<Foo, FooV2>());
  // set_update_function(update_fun,threads[0])
  UpdateRequest request = SetUpdateFunction(threads_[0], update_fun);
  Finish(request);
  for (const auto& object : objects) {
    EXPECT_EQ(object->Version(), 2);
    EXPECT_EQ(object->value, 7);
    EXPECT_EQ(version_cast<FooV2>(object.get())->added, 35);
  }
}

struct LazyFoo : Updatable<LazyFoo> {
  virtual int Version() const { return 1; }
};
// class FooV2(object): ...
struct LazyFooV2 : LazyFoo {
  explicit LazyFooV2(LazyFoo&& old) noexcept : LazyFoo(std::move(old)) {}
  int Version() const override { return 2; }
};

// Section 2.3, lazy object conversion: "when the program needs them".
TEST_F(PaperListingsTest, LazyObjectConversion) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();  // of an active thread
  std::vector<LazyUnique<LazyFoo>> objects;
  for (int i = 0; i < 3; ++i) objects.emplace_back(std::make_unique<LazyFoo>());
  StartThreads();
  // start_lazy_update_class(Foo,FooV2)
  const absl::Status started =
      Apply(ConvertLazily<LazyFoo, LazyFooV2>(), {}, kLimit);
  ASSERT_TRUE(started.ok()) << started;
  EXPECT_EQ(objects[1].address()->Version(), 1);
  EXPECT_EQ(objects[1]->Version(), 2);
  EXPECT_EQ(objects[1].address()->Version(), 2);
  EXPECT_EQ(objects[2].address()->Version(), 1);
}

}  // namespace
}  // namespace instar
