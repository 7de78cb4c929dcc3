// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Plans in programs that have threads which nobody has registered.

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/testing/sanitizers.h"
#include "code/portable/needs_entries_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/updatable.h"
#include "threads/controlled_thread.h"
#include "threads/testing/looping.h"
#include "threads/update_point.h"
#include "threads/update_request.h"
#include "updates/testing/functions_for_test.h"
#include "updates/testing/within.h"
#include "updates/update_plan.h"

namespace instar {
namespace others_test {

using testing::HasSubstr;
using updates_test::Price;
using updates_test::Price2;

struct Product : Updatable<Product> {
  // Calls it while it is active.
  virtual int Serve(const std::function<void()>& at) {
    at();
    return 1;
  }
};
struct ProductV2 : Product {
  explicit ProductV2(Product&& old) noexcept : Product(std::move(old)) {}
  int Serve(const std::function<void()>& at) override {
    at();
    return 2;
  }
};

// A thread that nobody has registered; `each` is called until the end, now and
// then: a plan waits for a moment in which all are elsewhere.
class Other {
 public:
  explicit Other(std::function<void()> each)
      : thread_([this, each = std::move(each)] {
          while (!stop_) {
            each();
            for (int i = 0; i < 20; ++i) std::this_thread::yield();
          }
        }) {}
  ~Other() {
    stop_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

using Callback = std::function<void()>;

// A thread of its own inside of what calls back, until it is let go.
class Serving {
 public:
  explicit Serving(std::function<int(const Callback&)> serve)
      : thread_([this, serve = std::move(serve)] {
          answer_ = serve([this] {
            is_inside_ = true;
            while (!is_let_go_) std::this_thread::yield();
          });
          while (!stop_) std::this_thread::yield();
        }) {
    while (!is_inside_) std::this_thread::yield();
  }
  ~Serving() {
    stop_ = is_let_go_ = true;
    thread_.join();
  }
  void LetGo() { is_let_go_ = true; }
  int answer() const { return answer_; }

 private:
  std::atomic<bool> is_inside_{false}, is_let_go_{false}, stop_{false};
  std::atomic<int> answer_{0};
  std::thread thread_;
};

TEST(UpdatePlanOthersTest, ThatAreInAClassAreWaitedFor) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  const Looping registered("registered");
  const auto product = std::make_unique<Product>();
  Serving other([&product](const Callback& at) { return product->Serve(at); });
  UpdatePlan plan("products");
  plan.ConvertEagerly<Product, ProductV2>();
  const auto update = MakeUpdate(std::move(plan));
  absl::StatusOr<std::vector<Blocker>> blockers;
  do {  // a busy machine may not run it in time
    blockers = update->Rehearse({});
    ASSERT_TRUE(blockers.ok()) << blockers.status();
  } while (blockers->empty());
  ASSERT_EQ(blockers->size(), 1u);
  EXPECT_THAT((*blockers)[0].function, HasSubstr("Product::Serve"));
  // What the last attempt met: a busy machine may not have run the registered
  // thread in time.
  std::string waited_for;
  while (waited_for.find("Product::Serve") == std::string::npos) {
    const absl::Status status = update->Apply(kBriefly);
    ASSERT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    waited_for = std::string(status.message());
  }
  other.LetGo();
  ASSERT_TRUE(update->Apply(kPatiently).ok());
  while (other.answer() == 0) std::this_thread::yield();
  EXPECT_EQ(other.answer(), 1);
  EXPECT_EQ(product->Serve([] {}), 2);
  EXPECT_TRUE(update->Undo(kPatiently).ok());
}

TEST(UpdatePlanOthersTest, AreLeftAloneIfThatIsSaid) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);  // they are looked at, and told of
  const Looping registered("registered");
  const auto product = std::make_unique<Product>();
  Serving other([&product](const Callback& at) { return product->Serve(at); });
  for (const char* const by : {"plan", "point", "program"}) {
    SCOPED_TRACE(by);
    UpdatePlan plan("products");
    plan.ConvertEagerly<Product, ProductV2>();
    ApplyOptions options = kPatiently;
    if (by == std::string("plan")) {
      plan.OnlyRegisteredThreads();
    } else {
      options.threads = [] { return std::vector<ThreadRef>(); };
    }
    if (by == std::string("point")) plan.AtUpdatePoint("between requests");
    const auto update = MakeUpdate(std::move(plan));
    std::vector<std::string> remarks;
    options.remarks = &remarks;
    do {
      remarks.clear();
      const auto blockers = update->Rehearse(options);
      ASSERT_TRUE(blockers.ok()) << blockers.status();
    } while (remarks.empty() ||
             remarks[0].find("is not registered") == std::string::npos);
    options.remarks = nullptr;
    ASSERT_TRUE(update->Apply(options).ok());
    EXPECT_EQ(update->hold_times().threads, by == std::string("plan") ? 1 : 0);
    ASSERT_TRUE(update->Undo(options).ok());
  }
}

// All that were stopped are counted, and no other.
TEST(UpdatePlanOthersTest, AreCounted) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  const Looping one("one"), two("two");
  UpdatePlan plan("price");
  plan.Redefine(Price, &Price2);
  plan.After(
      [] { return absl::OkStatus(); },  // a watch has a thread of its own
      [] { return absl::OkStatus(); });
  const auto update = MakeUpdate(std::move(plan));
  ASSERT_TRUE(update->Apply(kPatiently).ok());
  EXPECT_EQ(update->hold_times().threads, 2);
  EXPECT_EQ(update->hold_times().by_signal, 0);
  ASSERT_TRUE(update->Undo(kPatiently).ok());
  std::atomic<bool> runs{false};
  const auto run = [&runs] {
    runs = true;
    std::this_thread::yield();
  };
  const Other three(run), four(run), five(run);
  while (!runs) std::this_thread::yield();
  ASSERT_TRUE(update->Apply(kPatiently).ok());
  EXPECT_EQ(update->hold_times().threads, 5);
  EXPECT_EQ(update->hold_times().by_signal, 3);
  EXPECT_GT(update->hold_times().maximum.count(), 0);
  EXPECT_GT(update->hold_times().stopping.count(), 0);
  ASSERT_TRUE(update->Undo(kPatiently).ok());
  EXPECT_EQ(update->hold_times().threads, 5);
  EXPECT_EQ(update->hold_times().by_signal, 3);
}

// Nobody else is inside when everything changes, wherever the others are: they
// begin and end all the while.
std::atomic<int> inside{0};
__attribute__((noinline)) int Step(int a) {
  ++inside;
  for (int i = 0; i < 100; ++i) asm volatile("");
  --inside;
  return a;
}
int NewStep(int a) { return a; }

TEST(UpdatePlanOthersTest, AreNeverInsideOfWhatChanges) {
  INSTAR_NEEDS_FUNCTION_ENTRIES();
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  const Looping registered("registered");
  const auto step = [] { Step(1); };
  const Other one(step), two(step);
  const Other starts([] { std::thread([] { Step(2); }).join(); });
  int met = 0;
  UpdatePlan plan("step");
  const auto look = [&met] {
    met += inside;
    return absl::OkStatus();
  };
  plan.Redefine(&Step, &NewStep);
  plan.Before(look, look);
  const auto update = MakeUpdate(std::move(plan));
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(update->Apply(kPatiently).ok());
    ASSERT_TRUE(update->Undo(kPatiently).ok());
  }
  EXPECT_EQ(met, 0);
}

// They own locks of the allocator, and of objects of the class, at every other
// instruction; the update's own code allocates.
TEST(UpdatePlanOthersTest, MayAllocateAllTheWhile) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  const Looping registered("registered");
  std::array<std::atomic<char*>, 16> places{};
  std::atomic<unsigned> next{0};
  const auto allocate = [&] {
    // Of another thread, too: the lock of its arena.
    delete[] places[next++ % places.size()].exchange(new char[next % 5000]);
    std::make_unique<Product>();
  };
  {
    const Other one(allocate), two(allocate), three(allocate);
    std::list<std::unique_ptr<Product>> products;
    for (int i = 0; i < 100; ++i) {
      products.push_back(std::make_unique<Product>());
    }
    UpdatePlan plan("products");
    plan.ConvertEagerly<Product, ProductV2>();
    const auto hook = [] {
      for (int i = 1; i < 5000; i *= 2) std::make_unique<char[]>(i)[0] = 1;
      return absl::OkStatus();
    };
    plan.After(hook, hook);
    const auto update = MakeUpdate(std::move(plan));
    for (int i = 0; i < 10; ++i) {
      const absl::Status applied = update->Apply(kPatiently);
      ASSERT_TRUE(applied.ok()) << applied;
      const absl::Status undone = update->Undo(kPatiently);
      ASSERT_TRUE(undone.ok()) << undone;
    }
  }
  for (auto& place : places) delete[] place;
}

// They own locks of the threads that are rebooted.
TEST(UpdatePlanOthersTest, MayAskAThreadThatIsRebooted) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  std::atomic<bool> stop{false};
  const std::function<void()> loop = [&] {
    while (!stop) UpdatePoint();
  };
  ControlledThread thread = StartPassiveThread("rebooted", loop);
  {
    const auto ask = [ref = thread.ref()] {
      SetUpdateFunction(ref, [](UpdateContext&) {
        return Attempt::Done();
      }).Cancel();
    };
    const Other one(ask), two(ask);
    UpdatePlan plan("reboot");
    plan.Reboot("rebooted", loop, loop);
    const auto update = MakeUpdate(std::move(plan));
    for (int i = 0; i < 20; ++i) {
      const absl::Status applied = update->Apply(kPatiently);
      ASSERT_TRUE(applied.ok()) << applied;
      const absl::Status undone = update->Undo(kPatiently);
      ASSERT_TRUE(undone.ok()) << undone;
    }
  }
  stop = true;
}

}  // namespace others_test
}  // namespace instar
