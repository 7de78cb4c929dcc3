// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Four threads make objects, use them through proxies, exchange and destroy
// them, while updates and undos of every strategy come. Between two pieces of
// work a thread may be stopped, as at an update point; nothing else protects
// the objects.
//
// INSTAR_STRESS_UPDATES in the environment: how many updates (the default is a
// few seconds' worth, also under the sanitizers).

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "heap/conversion.h"
#include "heap/lazy_proxy.h"
#include "heap/updatable.h"
#include "heap/weak_object_pool.h"

namespace instar {
namespace {

// Stops a fixed number of threads at points that they choose.
class StopPoint {
 public:
  explicit StopPoint(int threads) : threads_(threads) {}

  // Called by the threads.
  void Pass() {
    if (!wanted_.load(std::memory_order_acquire)) return;
    std::unique_lock<std::mutex> lock(mutex_);
    if (!wanted_.load(std::memory_order_relaxed)) return;
    ++stopped_;
    changed_.notify_all();
    changed_.wait(lock,
                  [this] { return !wanted_.load(std::memory_order_relaxed); });
    --stopped_;
    changed_.notify_all();
  }

  void StopAll() {
    std::unique_lock<std::mutex> lock(mutex_);
    wanted_.store(true, std::memory_order_release);
    changed_.wait(lock, [this] { return stopped_ == threads_; });
  }
  void ResumeAll() {
    std::unique_lock<std::mutex> lock(mutex_);
    wanted_.store(false, std::memory_order_release);
    changed_.notify_all();
    changed_.wait(lock, [this] { return stopped_ == 0; });
  }

 private:
  const int threads_;
  std::atomic<bool> wanted_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  int stopped_ = 0;  // guarded by mutex_
};

std::atomic<int> wrong{0};

struct Item : Updatable<Item, 48> {
  explicit Item(int n) : number(n), text(std::to_string(n)) {}
  virtual void Use() {
    if (text != std::to_string(number)) ++wrong;
  }
  int number;
  std::string text;
};
struct ItemV2 : Item {
  explicit ItemV2(Item&& old) noexcept : Item(std::move(old)) {}
  absl::Status Convert() {
    if (number % 97 == 13) return absl::AbortedError("unlucky");
    twice = std::make_unique<int>(2 * number);
    return absl::OkStatus();
  }
  void Use() override {
    Item::Use();
    if (twice == nullptr || *twice != 2 * number) ++wrong;
  }
  std::unique_ptr<int> twice;
};
struct ItemV3 : ItemV2 {
  explicit ItemV3(ItemV2&& old) noexcept : ItemV2(std::move(old)) {}
  void Convert() { thrice = std::to_string(3 * number); }
  void Use() override {
    ItemV2::Use();
    if (thrice != std::to_string(3 * number)) ++wrong;
  }
  std::string thrice;
};
struct Child : Item {
  using Item::Item;
  char more[20] = "child";
};

constexpr int kThreads = 4;
constexpr int kShelves = 200;

struct Shelf {
  std::mutex mutex;
  LazyUnique<Item> unique;
  LazyShared<Item> shared;
};

class Work {
 public:
  Work() {
    for (int t = 0; t < kThreads; ++t) {
      threads_.emplace_back([this, t] { Run(t); });
    }
  }
  ~Work() {
    end_.store(true);
    for (auto& thread : threads_) thread.join();
  }

  StopPoint& stop() { return stop_; }

 private:
  std::unique_ptr<Item> Make(std::mt19937& random) {
    const int number = static_cast<int>(random() % 1000);
    if (random() % 10 == 0) return std::make_unique<Child>(number);
    return std::make_unique<Item>(number);
  }

  void Run(int seed) {
    std::mt19937 random(seed);
    std::vector<LazyShared<Item>> mine;
    while (!end_.load()) {
      stop_.Pass();
      Shelf& shelf = shelves_[random() % kShelves];
      switch (random() % 6) {
        case 0: {
          LazyUnique<Item> made(Make(random));
          std::lock_guard<std::mutex> lock(shelf.mutex);
          std::swap(shelf.unique, made);
          break;  // destroys the one before
        }
        case 1: {
          std::lock_guard<std::mutex> lock(shelf.mutex);
          if (shelf.unique) shelf.unique->Use();
          break;
        }
        case 2: {
          LazyShared<Item> made(std::shared_ptr<Item>(Make(random)));
          mine.push_back(made);
          std::lock_guard<std::mutex> lock(shelf.mutex);
          std::swap(shelf.shared, made);
          break;
        }
        case 3: {
          // The same object, from several threads.
          LazyShared<Item> taken;
          {
            std::lock_guard<std::mutex> lock(shelf.mutex);
            taken = shelf.shared;
          }
          if (taken) taken->Use();
          break;
        }
        case 4:
          if (!mine.empty()) mine[random() % mine.size()]->Use();
          break;
        case 5:
          if (mine.size() > 20) mine.erase(mine.begin(), mine.begin() + 10);
          break;
      }
    }
    // The owner of the last step has stopped nobody: see ~Work().
  }

  std::vector<Shelf> shelves_{kShelves};
  StopPoint stop_{kThreads};
  std::atomic<bool> end_{false};
  std::vector<std::thread> threads_;
};

int Updates() {
  const char* text = std::getenv("INSTAR_STRESS_UPDATES");
  return text == nullptr ? 150 : std::atoi(text);
}

TEST(ConversionStressTest, UpdatesAndUndosWhileObjectsComeAndGo) {
  std::mt19937 random(99);
  int applied = 0, failed = 0;
  {
    Work work;
    // From then on there are some always.
    while (WeakObjectPool<Item>().Counts().Total() == 0) {
      std::this_thread::yield();
    }
    std::vector<std::unique_ptr<ConversionStep>> done;
    const auto paused = [&](auto&& what) {
      for (auto& step : done) step->PauseBackground();
      work.stop().StopAll();
      what();
      work.stop().ResumeAll();
      for (auto& step : done) step->ResumeBackground();
    };
    for (int i = 0; i < Updates(); ++i) {
      if (done.size() == 2 || (!done.empty() && random() % 3 == 0)) {
        if (random() % 2 == 0) done.back()->WaitUntilDone();
        paused([&] {
          const absl::Status status = done.back()->Undo();
          EXPECT_TRUE(status.ok()) << status;
        });
        done.pop_back();
        continue;
      }
      std::unique_ptr<ConversionStep> step;
      const int how = static_cast<int>(random() % 3);
      if (done.empty()) {
        step = how == 0   ? EagerConversion<Item, ItemV2>()
               : how == 1 ? LazyConversion<Item, ItemV2>()
                          : ProgressiveConversion<Item, ItemV2>({}, 50);
      } else {
        step = how == 0   ? EagerConversion<ItemV2, ItemV3>()
               : how == 1 ? LazyConversion<ItemV2, ItemV3>()
                          : ProgressiveConversion<ItemV2, ItemV3>({}, 50);
      }
      const absl::Status ready = step->Prepare();
      ASSERT_TRUE(ready.ok()) << ready;
      absl::Status status;
      paused([&] {
        ConvertAllLateBirths().IgnoreError();  // some are unlucky
        status = step->Apply();
      });
      if (status.ok()) {
        ++applied;
        done.push_back(std::move(step));
      } else {
        EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
        ++failed;
      }
      // Meanwhile, from outside.
      EXPECT_GT(WeakObjectPool<Item>().Counts().Total(), 0u);
    }
    while (!done.empty()) {
      paused([&] { EXPECT_TRUE(done.back()->Undo().ok()); });
      done.pop_back();
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(WeakObjectPool<Item>().Counts().Total(), 0u);
  EXPECT_GT(applied, 0);
  EXPECT_GT(failed, 0);
  RecordProperty("applied", applied);
  RecordProperty("failed", failed);
}

}  // namespace
}  // namespace instar
