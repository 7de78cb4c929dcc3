// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What steps do with versions: chains, late births, several threads, progress,
// and strategies that a user writes. conversion_test is about the objects.

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "heap/conversion.h"
#include "heap/internal/version_change.h"
#include "heap/updatable.h"
#include "heap/weak_object_pool.h"

namespace instar {
namespace {

template <typename T>
std::vector<std::pair<std::string, std::size_t>> Versions() {
  return WeakObjectPool<T>().Counts().by_version;
}

// v1 -> v2 -> v3.
struct Step1 : Updatable<Step1> {
  std::string path = "1";
};
struct Step2 : Step1 {
  explicit Step2(Step1&& old) noexcept : Step1(std::move(old)) {}
  void Convert() { path += "2"; }
  void ConvertBack() noexcept { path += "<"; }
};
struct Step3 : Step2 {
  explicit Step3(Step2&& old) noexcept : Step2(std::move(old)) {}
  void Convert() { path += "3"; }
};

// Counted at any time, each object counts once.
struct Coin : Updatable<Coin> {
  int value = 1;
};
struct Coin2 : Coin {
  explicit Coin2(Coin&& old) noexcept : Coin(std::move(old)) {}
};

TEST(ConversionStepTest, NoObjectIsLeftOutWhileVersionsComeAndGo) {
  constexpr std::size_t kCoins = 2000;
  std::vector<std::unique_ptr<Coin>> coins;
  for (std::size_t i = 0; i < kCoins; ++i) {
    coins.push_back(std::make_unique<Coin>());
  }
  std::atomic<bool> stop{false};
  int wrong = 0;
  std::thread counter([&] {
    while (!stop) wrong += WeakObjectPool<Coin>().Counts().Total() != kCoins;
  });
  for (int i = 0; i < 2000; ++i) {
    auto step = EagerConversion<Coin, Coin2>();
    ASSERT_TRUE(step->Prepare().ok());
    ASSERT_TRUE(step->Apply().ok());
    ASSERT_TRUE(step->Undo().ok());
  }
  stop = true;
  counter.join();
  EXPECT_EQ(wrong, 0);
}

TEST(ConversionStepTest, AnObjectThatMissedAnUpdateTakesBothSteps) {
  auto a = std::make_unique<Step1>();
  auto lazily = LazyConversion<Step1, Step2>();
  ASSERT_TRUE(lazily->Prepare().ok());
  ASSERT_TRUE(lazily->Apply().ok());
  EXPECT_EQ(a->path, "1");
  auto eagerly = EagerConversion<Step2, Step3>();
  ASSERT_TRUE(eagerly->Prepare().ok());
  ASSERT_TRUE(eagerly->Apply().ok());
  EXPECT_EQ(a->path, "123");
  EXPECT_NE(version_cast<Step3>(a.get()), nullptr);

  // The last one first.
  EXPECT_EQ(lazily->Undo().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(eagerly->Undo().ok());
  EXPECT_EQ(version_cast<Step3>(a.get()), nullptr);
  ASSERT_NE(version_cast<Step2>(a.get()), nullptr);
  ASSERT_TRUE(lazily->Undo().ok());
  EXPECT_EQ(a->path, "123<");
}

struct Late : Updatable<Late> {
  int value = 5;
};
struct LateV2 : Late {
  LateV2() = default;
  explicit LateV2(Late&& old) noexcept : Late(std::move(old)) {}
  int more = 6;
};

TEST(ConversionStepTest, LateBirthsAreConvertedWhenAsked) {
  auto early = std::make_unique<Late>();
  auto step = EagerConversion<Late, LateV2>();
  ASSERT_TRUE(step->Prepare().ok());
  ASSERT_TRUE(step->Apply().ok());
  EXPECT_FALSE(HaveLateBirths());
  auto late = std::make_unique<Late>();
  std::unique_ptr<Late> fresh = std::make_unique<LateV2>();
  EXPECT_TRUE(HaveLateBirths());
  EXPECT_EQ(version_cast<LateV2>(late.get()), nullptr);
  EXPECT_EQ(Versions<Late>()[0].second, 1u);
  EXPECT_EQ(Versions<Late>()[1].second, 2u);
  ASSERT_TRUE(ConvertAllLateBirths().ok());
  EXPECT_FALSE(HaveLateBirths());
  EXPECT_NE(version_cast<LateV2>(late.get()), nullptr);
  EXPECT_EQ(Versions<Late>()[1].second, 3u);
  // What new code made of the new class goes back too.
  ASSERT_TRUE(step->Undo().ok());
  EXPECT_EQ(version_cast<LateV2>(fresh.get()), nullptr);
  EXPECT_EQ(fresh->value, 5);
  EXPECT_EQ(Versions<Late>()[0].second, 3u);
  auto after = std::make_unique<Late>();
  EXPECT_FALSE(HaveLateBirths());
}

struct LateChild : Late {};
struct LateChildV2 : LateChild {
  explicit LateChildV2(LateChild&& old) noexcept : LateChild(std::move(old)) {}
};

TEST(ConversionStepTest, ALateBirthIsNotForgottenOverAnotherUpdate) {
  auto step = EagerConversion<Late, LateV2>();
  ASSERT_TRUE(step->Prepare().ok());
  ASSERT_TRUE(step->Apply().ok());
  auto late = std::make_unique<Late>();
  auto other = LazyConversion<LateChild, LateChildV2>();
  ASSERT_TRUE(other->Prepare().ok());
  ASSERT_TRUE(other->Apply().ok());
  ASSERT_TRUE(ConvertAllLateBirths().ok());
  EXPECT_NE(version_cast<LateV2>(late.get()), nullptr);
  ASSERT_TRUE(other->Undo().ok());
  ASSERT_TRUE(step->Undo().ok());
}

// A Convert() that makes and destroys objects of its own class.
struct Busy : Updatable<Busy> {
  std::unique_ptr<Busy> other;
};
struct BusyV2 : Busy {
  explicit BusyV2(Busy&& old) noexcept : Busy(std::move(old)) {}
  void Convert() {
    if (made < 100) {
      ++made;
      other = std::make_unique<Busy>();
    }
  }
  static inline int made = 0;
};

TEST(ConversionStepTest, ConvertMayMakeObjectsOfItsClass) {
  std::vector<std::unique_ptr<Busy>> objects;
  for (int i = 0; i < 50; ++i) objects.push_back(std::make_unique<Busy>());
  ASSERT_TRUE((ConvertAll<Busy, BusyV2>()).ok());
  for (auto& object : objects) {
    EXPECT_NE(version_cast<BusyV2>(object.get()), nullptr);
    EXPECT_NE(object->other, nullptr);
  }
}

TEST(ConversionStepTest, SeveralThreadsConvertAndReport) {
  struct Many : Updatable<Many> {
    int value = 7;
  };
  struct ManyV2 : Many {
    explicit ManyV2(Many&& old) noexcept : Many(std::move(old)) {}
    void Convert() { mark = value; }
    int mark = 0;
  };
  std::vector<std::unique_ptr<Many>> objects;
  for (int i = 0; i < 50000; ++i) objects.push_back(std::make_unique<Many>());
  for (int threads : {1, 4}) {
    ConversionOptions options;
    options.threads = threads;
    std::size_t last = 0, reports = 0;
    options.progress = [&](std::size_t done) {
      EXPECT_GT(done, last);
      last = done;
      ++reports;
    };
    auto step = EagerConversion<Many, ManyV2>(options);
    ASSERT_TRUE(step->Prepare().ok());
    ASSERT_TRUE(step->Apply().ok());
    EXPECT_EQ(last, objects.size());
    EXPECT_GT(reports, 3u);
    for (auto& object : objects) {
      ASSERT_EQ(version_cast<ManyV2>(object.get())->mark, 7);
    }
    ASSERT_TRUE(step->Undo().ok());
  }
}

// A strategy of a user's own: every second object now, the others when asked.
struct Half : Updatable<Half> {
  int number = 0;
};
struct HalfV2 : Half {
  explicit HalfV2(Half&& old) noexcept : Half(std::move(old)) {}
};
class EverySecond : public ConversionStep {
 public:
  std::string name() const override { return change_->name(); }
  absl::StatusOr<ConversionForecast> Check() const override {
    return change_->Check();
  }
  absl::Status Prepare() override { return change_->Prepare(); }
  absl::Status Apply() override {
    absl::Status status = change_->Install();
    WeakObjectPool<Half>().ForEach([&](Half& half) {
      if (half.number % 2 == 0 && status.ok()) status = ConvertObject(&half);
    });
    return status;
  }
  absl::Status Undo() override { return change_->TakeBack(); }
  ObjectCounts Counts() const override {
    return WeakObjectPool<Half>().Counts();
  }

 private:
  std::unique_ptr<VersionChange> change_ = VersionChange::Of<Half, HalfV2>();
};

TEST(ConversionStepTest, UsersWriteStrategiesOfTheirOwn) {
  std::vector<std::unique_ptr<Half>> objects;
  for (int i = 0; i < 10; ++i) {
    objects.push_back(std::make_unique<Half>());
    objects.back()->number = i;
  }
  EverySecond step;
  ASSERT_TRUE(step.Prepare().ok());
  ASSERT_TRUE(step.Apply().ok());
  EXPECT_EQ(step.Counts().by_version[0].second, 5u);
  EXPECT_EQ(step.Counts().by_version[1].second, 5u);
  ASSERT_TRUE(ConvertObject(objects[1].get()).ok());
  EXPECT_EQ(step.Counts().by_version[1].second, 6u);
  ASSERT_TRUE(step.Undo().ok());
  EXPECT_EQ(step.Counts().by_version[0].second, 10u);
}

}  // namespace
}  // namespace instar
