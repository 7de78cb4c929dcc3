// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Conversions that are refused, that fail half way, and that run out of memory:
// the pool is as before.

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/conversion.h"
#include "heap/internal/slab.h"
#include "heap/internal/updatable_class.h"
#include "heap/internal/version_change.h"
#include "heap/lazy_proxy.h"
#include "heap/updatable.h"
#include "heap/weak_object_pool.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct Item : Updatable<Item> {
  explicit Item(int n) : number(n), text(std::to_string(n)) {}
  virtual int Version() const { return 1; }
  int number;
  std::string text;
};

enum class Failure { kStatus, kException, kOddException, kMemory };

struct ItemV2 : Item {
  explicit ItemV2(Item&& old) noexcept : Item(std::move(old)) { ++alive; }
  ~ItemV2() override { --alive; }
  int Version() const override { return 2; }
  absl::Status Convert() {
    if (left-- == 0) {
      switch (how) {
        case Failure::kStatus:
          return absl::AbortedError("not this one");
        case Failure::kException:
          throw std::runtime_error("thrown");
        case Failure::kOddException:
          throw 7;
        case Failure::kMemory:
          throw std::bad_alloc();
      }
    }
    extra = std::make_unique<int>(number);
    return absl::OkStatus();
  }
  std::unique_ptr<int> extra;
  static inline std::atomic<int> left{-1};
  static inline std::atomic<int> alive{0};
  static inline Failure how = Failure::kStatus;
};

void ExpectOld(const std::vector<std::unique_ptr<Item>>& items) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    ASSERT_EQ(items[i]->Version(), 1);
    ASSERT_EQ(items[i]->number, static_cast<int>(i));
    ASSERT_EQ(items[i]->text, std::to_string(i));
  }
  EXPECT_EQ(ItemV2::alive, 0);
  const ObjectCounts counts = WeakObjectPool<Item>().Counts();
  EXPECT_EQ(counts.by_version.size(), 1u);
  EXPECT_EQ(counts.by_version[0].second, items.size());
  EXPECT_EQ(counts.failed, 0u);
  EXPECT_EQ(counts.being_converted, 0u);
}

class EveryFailureTest
    : public testing::TestWithParam<std::pair<int, Failure>> {};

TEST_P(EveryFailureTest, AtEveryObjectPutsAllBack) {
  constexpr int kObjects = 70;  // more than one group of 64
  std::vector<std::unique_ptr<Item>> items;
  for (int i = 0; i < kObjects; ++i) items.push_back(std::make_unique<Item>(i));
  std::vector<Item*> addresses;
  for (auto& item : items) addresses.push_back(item.get());
  ConversionOptions options;
  options.threads = GetParam().first;
  ItemV2::how = GetParam().second;
  for (int k = 0; k < kObjects; ++k) {
    ItemV2::left = k;
    const absl::Status status = ConvertAll<Item, ItemV2>(options);
    ASSERT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("ItemV2: object 0x"), HasSubstr("th: ")));
    ExpectOld(items);
  }
  for (int i = 0; i < kObjects; ++i) EXPECT_EQ(items[i].get(), addresses[i]);
  // And without a failure it works.
  ItemV2::left = -1;
  auto step = EagerConversion<Item, ItemV2>(options);
  ASSERT_TRUE(step->Prepare().ok());
  ASSERT_TRUE(step->Apply().ok());
  EXPECT_EQ(ItemV2::alive, kObjects);
  for (auto& item : items) EXPECT_EQ(item->Version(), 2);
  ASSERT_TRUE(step->Undo().ok());
  ExpectOld(items);
}

INSTANTIATE_TEST_SUITE_P(Failures, EveryFailureTest,
                         testing::Values(std::make_pair(1, Failure::kStatus),
                                         std::make_pair(1, Failure::kException),
                                         std::make_pair(1,
                                                        Failure::kOddException),
                                         std::make_pair(1, Failure::kMemory),
                                         std::make_pair(4, Failure::kStatus)));

// Objects outside of the slabs come last; one of them fails.
struct Flat : Updatable<Flat> {
  int value = 1, spare = 0;
};
struct FlatV2 : Flat {
  explicit FlatV2(Flat&& old) noexcept : Flat(std::move(old)) {}
  absl::Status Convert() {
    if (value == 13) return absl::AbortedError("thirteen");
    spare = 1;
    return absl::OkStatus();
  }
  void ConvertBack() noexcept { spare = 0; }
};

TEST(ConversionFailureTest, AnObjectOutsideOfTheSlabsFailsLikeAnyOther) {
  std::vector<Flat> outside(20);
  std::vector<std::unique_ptr<Flat>> pooled;
  for (int i = 0; i < 20; ++i) pooled.push_back(std::make_unique<Flat>());
  outside[7].value = 13;
  EXPECT_EQ((ConvertAll<Flat, FlatV2>()).code(), absl::StatusCode::kAborted);
  for (const Flat& flat : outside) EXPECT_EQ(flat.spare, 0);
  for (const auto& flat : pooled) EXPECT_EQ(flat->spare, 0);
  EXPECT_EQ(WeakObjectPool<Flat>().Counts().by_version[0].second, 40u);
  EXPECT_EQ(WeakObjectPool<Flat>().Counts().failed, 0u);
}

// The class's own memory runs out while objects are being converted.
struct Grower : Updatable<Grower> {
  char bytes[4000];
};
struct GrowerV2 : Grower {
  explicit GrowerV2(Grower&& old) noexcept : Grower(std::move(old)) {}
  void Convert() { helper = new Grower; }
  void ConvertBack() noexcept {
    delete helper;
    helper = nullptr;
  }
  ~GrowerV2() override { delete helper; }
  Grower* helper = nullptr;
};

TEST(ConversionFailureTest, MemoryExhaustedHalfWayPutsAllBack) {
  std::vector<std::unique_ptr<Grower>> objects;
  for (int i = 0; i < 100; ++i) objects.push_back(std::make_unique<Grower>());
  auto step = EagerConversion<Grower, GrowerV2>();
  ASSERT_TRUE(step->Prepare().ok());
  heap_internal::SetSlabBudgetForTesting(0);
  const absl::Status status = step->Apply();
  heap_internal::SetSlabBudgetForTesting(-1);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  const ObjectCounts counts = WeakObjectPool<Grower>().Counts();
  EXPECT_EQ(counts.by_version[0].second, 100u);
  EXPECT_EQ(counts.Total(), 100u);
}

TEST(ConversionFailureTest, ApplyItselfNeedsNoMemoryOfTheSlabs) {
  struct Calm : Updatable<Calm> {
    int value = 1;
  };
  struct CalmV2 : Calm {
    explicit CalmV2(Calm&& old) noexcept : Calm(std::move(old)) {}
  };
  auto object = std::make_unique<Calm>();
  auto step = EagerConversion<Calm, CalmV2>();
  ASSERT_TRUE(step->Prepare().ok());
  heap_internal::SetSlabBudgetForTesting(0);
  EXPECT_TRUE(step->Apply().ok());
  EXPECT_TRUE(step->Undo().ok());
  heap_internal::SetSlabBudgetForTesting(-1);
}

// What the running program alone knows.

struct Tight : Updatable<Tight, 8> {
  std::int64_t value = 1;
};
struct TightV2 : Tight {
  explicit TightV2(Tight&& old) noexcept : Tight(std::move(old)) {}
  std::int64_t more[4] = {};
};
static_assert(WhyNot<Tight, TightV2> == Refusal::kTooLarge);
struct TightV2Pointer : Tight {
  explicit TightV2Pointer(Tight&& old) noexcept : Tight(std::move(old)) {}
  std::unique_ptr<std::string> state = std::make_unique<std::string>("state");
};
// Of this one, only the program knows what slots its objects have.
struct TightV3 : TightV2Pointer {
  explicit TightV3(TightV2Pointer&& old) noexcept
      : TightV2Pointer(std::move(old)) {}
  std::int64_t more[4] = {};
};

TEST(ConversionFailureTest, TooLittleRoomIsRefusedAndAPointerAlwaysFits) {
  auto object = std::make_unique<Tight>();
  ASSERT_TRUE((ConvertAll<Tight, TightV2Pointer>()).ok());
  EXPECT_EQ(*version_cast<TightV2Pointer>(object.get())->state, "state");
  const absl::Status status = ConvertAll<TightV2Pointer, TightV3>();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("TightV3 has 56 bytes, 24 of them"),
                    HasSubstr("behind one pointer")));
}

struct Narrow : Updatable<Narrow, 200> {
  int value = 1;
};
struct NarrowV2 : Narrow {
  explicit NarrowV2(Narrow&& old) noexcept : Narrow(std::move(old)) {}
  alignas(64) int wide = 2;
};

TEST(ConversionFailureTest, AnAlignmentThatSlotsDoNotHaveIsRefused) {
  auto object = std::make_unique<Narrow>();
  const absl::Status status = ConvertAll<Narrow, NarrowV2>();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("must be aligned to 64 bytes"));
}

struct Common {
  virtual ~Common() = default;
  int value = 1;
};
struct Rooted : Updatable<Rooted>, virtual Common {};
struct RootedV2 : Rooted {
  explicit RootedV2(Rooted&& old) noexcept
      : Common(std::move(old)), Rooted(std::move(old)) {}
};

TEST(ConversionFailureTest, AVirtualBaseFurtherUpIsRefused) {
  const absl::Status status = ConvertAll<Rooted, RootedV2>();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("has a virtual base"));
}

struct Stale : Updatable<Stale> {
  int value = 1;
};
struct StaleV2 : Stale {
  explicit StaleV2(Stale&& old) noexcept : Stale(std::move(old)) {}
};

TEST(ConversionFailureTest, ALayoutThatTheProgramDoesNotHaveIsRefused) {
  // As a module says that was compiled when Stale had another member.
  heap_internal::NextVersion next =
      heap_internal::NextVersionOf<Stale, StaleV2>();
  next.root_layout.size += 8;
  VersionChange change(next, {});
  const absl::Status status = change.Prepare();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("another layout"),
                    HasSubstr("24 bytes aligned to 8 with 32 bytes of room"),
                    HasSubstr("16 bytes aligned to 8 with 32")));
  // Or had its class registered with it.
  heap_internal::UpdatableClass::Register(next.root_layout);
  EXPECT_THAT(std::string((ConvertAll<Stale, StaleV2>()).message()),
              HasSubstr("two layouts of"));
}

struct Forked : Updatable<Forked> {
  int value = 1;
};
struct ForkedLeft : Forked {
  explicit ForkedLeft(Forked&& old) noexcept : Forked(std::move(old)) {}
};
struct ForkedRight : Forked {
  explicit ForkedRight(Forked&& old) noexcept : Forked(std::move(old)) {}
};

TEST(ConversionFailureTest, OneNextVersionIsEnough) {
  auto left = LazyConversion<Forked, ForkedLeft>();
  auto right = LazyConversion<Forked, ForkedRight>();
  ASSERT_TRUE(left->Prepare().ok());
  ASSERT_TRUE(right->Prepare().ok());
  ASSERT_TRUE(left->Apply().ok());
  // Prepared in time, but applied too late.
  EXPECT_EQ(right->Apply().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(right->Check().status().message()),
              HasSubstr("has a next version already"));
  ASSERT_TRUE(left->Undo().ok());
  ASSERT_TRUE(right->Prepare().ok());
  ASSERT_TRUE(right->Apply().ok());
  ASSERT_TRUE(right->Undo().ok());
}

// Its Convert() ends the thread at one object.
struct Ending : Updatable<Ending> {
  explicit Ending(int n = 0) : number(n) {}
  int number;
};
struct EndingV2 : Ending {
  explicit EndingV2(Ending&& old) noexcept : Ending(std::move(old)) {}
  void Convert() {
    if (number == ends_at) pthread_exit(nullptr);
  }
  static inline std::atomic<int> ends_at{-1};
};
struct EndingV3 : EndingV2 {
  explicit EndingV3(EndingV2&& old) noexcept : EndingV2(std::move(old)) {}
  void Convert() { mark = number + 1; }
  int mark = 0;
};

TEST(ConversionFailureTest, AThreadThatEndsInConvertLeavesTheObjectAsItWas) {
  auto object = std::make_unique<Ending>(7);
  auto other = std::make_unique<Ending>(8);
  auto step = LazyConversion<Ending, EndingV2>();
  ASSERT_TRUE(step->Prepare().ok());
  ASSERT_TRUE(step->Apply().ok());
  EndingV2::ends_at = 7;
  bool went_on = false;
  std::thread ending([&] {
    LazyProxy<Ending> proxy(object.get());
    proxy->number = 9;
    went_on = true;
  });
  ending.join();
  EXPECT_FALSE(went_on);
  EXPECT_EQ(object->number, 7);
  const ObjectCounts counts = WeakObjectPool<Ending>().Counts();
  EXPECT_EQ(counts.being_converted, 0u);
  EXPECT_EQ(counts.failed, 1u);
  EndingV2::ends_at = -1;
  EXPECT_EQ(LazyProxy<Ending>(other.get())->number, 8);
  EXPECT_NE(version_cast<EndingV2>(other.get()), nullptr);
  EXPECT_EQ(version_cast<EndingV2>(object.get()), nullptr);
  ASSERT_TRUE(step->Undo().ok());
}

TEST(ConversionFailureTest, WorkersThatEndInConvertFailTheConversion) {
  std::vector<std::unique_ptr<Ending>> objects;
  for (int i = 0; i < 20000; ++i)
    objects.push_back(std::make_unique<Ending>(i));
  EndingV2::ends_at = 5000;
  ConversionOptions options;
  options.threads = 3;
  auto step = EagerConversion<Ending, EndingV2>(options);
  ASSERT_TRUE(step->Prepare().ok());
  const absl::Status failed = step->Apply();
  EXPECT_FALSE(failed.ok());
  EXPECT_THAT(std::string(failed.message()), HasSubstr("ended its thread"));
  EndingV2::ends_at = -1;
  for (const auto& object : objects) {
    ASSERT_EQ(version_cast<EndingV2>(object.get()), nullptr);
  }
}

// Leaves another conversion of the same thread open, as a switch to a
// continulet that converts does.
struct Switching : Updatable<Switching> {
  Switching() = default;
  Switching(Switching&&) noexcept {
    if (switches) (new heap_internal::InPlaceChange(nullptr))->Begin(nullptr);
  }
  static inline bool switches = false;
};
struct SwitchingV2 : Switching {
  explicit SwitchingV2(Switching&& old) noexcept : Switching(std::move(old)) {}
};

TEST(ConversionFailureDeathTest, AMoveConstructorThatSwitchesIsTheCallersBug) {
  auto object = std::make_unique<Switching>();
  Switching::switches = true;
  EXPECT_DEATH(((void)ConvertAll<Switching, SwitchingV2>()),
               "Switching is being converted, and its move constructor");
  Switching::switches = false;
}

TEST(ConversionFailureDeathTest, StepsOutOfOrderAreTheCallersBug) {
  auto change = VersionChange::Of<Forked, ForkedLeft>();
  EXPECT_DEATH(change->Install().IgnoreError(), "Prepare\\(\\) comes first");
  ASSERT_TRUE(change->Prepare().ok());
  EXPECT_DEATH(change->ConvertAll().IgnoreError(), "Install\\(\\) comes first");
  EXPECT_TRUE(change->TakeBack().ok());  // nothing to take back
}

}  // namespace
}  // namespace instar
