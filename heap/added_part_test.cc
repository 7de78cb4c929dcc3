// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/added_part.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/class_version.h"
#include "heap/conversion.h"
#include "heap/internal/slab.h"
#include "heap/lazy_proxy.h"
#include "heap/updatable.h"
#include "heap/weak_object_pool.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

// Holds its own address too: whoever moved it would be noticed.
struct Counter : Updatable<Counter, 64> {
  explicit Counter(int n) : count(n) {}
  ~Counter() override { EXPECT_EQ(self, this); }
  std::mutex mutex;
  std::atomic<int> count;
  const Counter* const self = this;
};

struct Peak : AddedTo<Counter> {
  explicit Peak(Counter& counter) noexcept : start(counter.count) { ++alive; }
  ~Peak() { --alive; }
  absl::Status Convert(Counter& counter) {
    EXPECT_EQ(version_cast<Peak>(&counter), this);
    if (left-- == 0) {
      if (throws) throw std::runtime_error("thrown");
      return absl::AbortedError("not this one");
    }
    std::lock_guard<std::mutex> lock(counter.mutex);
    text = std::to_string(counter.count);
    return absl::OkStatus();
  }
  void ConvertBack(Counter& counter) noexcept { counter.count += 1000; }
  int start;
  std::string text;
  static inline std::atomic<int> alive{0};
  static inline std::atomic<int> left{-1};
  static inline std::atomic<bool> throws{false};
};
static_assert(CanBecome<Counter, Peak>);

struct Mean : AddedTo<Peak> {
  explicit Mean(Counter& counter) noexcept
      : before(version_cast<Peak>(&counter)) {
    ++alive;
  }
  // The newest part ends first.
  ~Mean() {
    EXPECT_EQ(Peak::alive, peaks_at_birth);
    --alive;
  }
  Peak* const before;
  const int peaks_at_birth = Peak::alive;
  static inline int alive = 0;
};
static_assert(CanBecome<Peak, Mean>);

class AddedPartTest : public testing::Test {
 protected:
  void SetUp() override {
    Peak::left = -1;
    Peak::throws = false;
  }
  void TearDown() override {
    EXPECT_EQ(Peak::alive, 0);
    EXPECT_EQ(Mean::alive, 0);
  }

  static std::vector<std::unique_ptr<Counter>> Make(int count) {
    std::vector<std::unique_ptr<Counter>> counters;
    for (int i = 0; i < count; ++i) {
      counters.push_back(std::make_unique<Counter>(i));
    }
    return counters;
  }
  static std::size_t Of(std::size_t version) {
    const ObjectCounts counts = WeakObjectPool<Counter>().Counts();
    return version < counts.by_version.size()
               ? counts.by_version[version].second
               : 0;
  }
};

TEST_F(AddedPartTest, TheObjectStaysAndGetsNewMembers) {
  auto counters = Make(100);
  auto step = EagerConversion<Counter, Peak>();
  EXPECT_EQ(version_cast<Peak>(counters[5].get()), nullptr);
  ASSERT_TRUE(step->Prepare().ok());
  ASSERT_TRUE(step->Apply().ok());
  EXPECT_EQ(Of(0), 0u);
  EXPECT_EQ(Of(1), 100u);
  EXPECT_EQ(Peak::alive, 100);
  for (int i = 0; i < 100; ++i) {
    Peak* peak = version_cast<Peak>(counters[i].get());
    ASSERT_NE(peak, nullptr);
    EXPECT_GE(static_cast<void*>(peak),
              static_cast<void*>(counters[i].get() + 1));
    EXPECT_EQ(peak->start, i);
    EXPECT_EQ(peak->text, std::to_string(i));
    EXPECT_EQ(counters[i]->self, counters[i].get());
  }
  EXPECT_EQ(version_cast<Peak>(static_cast<Counter*>(nullptr)), nullptr);
  const Counter* const read_only = counters[1].get();
  const Peak* const same = version_cast<const Peak>(read_only);
  EXPECT_EQ(same, version_cast<Peak>(counters[1].get()));
  EXPECT_EQ(version_cast<Peak>(read_only), same);
  // Old code destroys the part with its object.
  counters.resize(40);
  EXPECT_EQ(Peak::alive, 40);
  ASSERT_TRUE(step->Undo().ok());
  EXPECT_EQ(Peak::alive, 0);
  EXPECT_EQ(Of(0), 40u);
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(version_cast<Peak>(counters[i].get()), nullptr);
    EXPECT_EQ(counters[i]->count, i + 1000);
  }
  // And once more.
  ASSERT_TRUE(step->Prepare().ok());
  ASSERT_TRUE(step->Apply().ok());
  EXPECT_EQ(version_cast<Peak>(counters[7].get())->start, 1007);
  ASSERT_TRUE(step->Undo().ok());
}

TEST_F(AddedPartTest, AMutexMayBeHeldWhileItsObjectIsConverted) {
  struct Held : Updatable<Held> {
    std::mutex mutex;
  };
  struct More : AddedTo<Held> {
    explicit More(Held&) noexcept {}
    int more = 3;
  };
  auto object = std::make_unique<Held>();
  object->mutex.lock();
  ASSERT_TRUE((ConvertAll<Held, More>()).ok());
  EXPECT_EQ(version_cast<More>(object.get())->more, 3);
  std::thread([&] { EXPECT_FALSE(object->mutex.try_lock()); }).join();
  object->mutex.unlock();
}

TEST_F(AddedPartTest, AFailureAtEveryObjectPutsAllBack) {
  auto counters = Make(70);
  for (int threads : {1, 4}) {
    ConversionOptions options;
    options.threads = threads;
    for (bool throws : {false, true}) {
      Peak::throws = throws;
      for (int k = 0; k < 70; ++k) {
        Peak::left = k;
        const absl::Status status = ConvertAll<Counter, Peak>(options);
        ASSERT_FALSE(status.ok());
        EXPECT_THAT(std::string(status.message()), HasSubstr("object 0x"));
        ASSERT_EQ(Peak::alive, 0);
        ASSERT_EQ(Of(0), 70u);
        ASSERT_EQ(version_cast<Peak>(counters[0].get()), nullptr);
      }
    }
  }
}

TEST_F(AddedPartTest, AProxyAddsAtTheFirstAccess) {
  LazyUnique<Counter> a(std::make_unique<Counter>(5));
  LazyUnique<Counter> b(std::make_unique<Counter>(6));
  LazyUnique<Counter> c(std::make_unique<Counter>(7));
  LazyShared<Counter> d(std::shared_ptr<Counter>(new Counter(8)));
  auto step = LazyConversion<Counter, Peak>();
  ASSERT_TRUE(step->Prepare().ok());
  ASSERT_TRUE(step->Apply().ok());
  EXPECT_EQ(Peak::alive, 0);
  EXPECT_EQ(Of(0), 4u);
  EXPECT_EQ(version_cast<Peak>(a.get())->text, "5");
  d->count = 9;
  EXPECT_EQ(Of(1), 2u);
  // Old code makes an old object; its first access adds the part.
  LazyUnique<Counter> late(std::make_unique<Counter>(1));
  EXPECT_EQ(version_cast<Peak>(late.address()), nullptr);
  EXPECT_EQ(version_cast<Peak>(late.get())->text, "1");
  EXPECT_EQ(Peak::alive, 3);
  // Destroyed through proxies: with a part, announced (a proxy that has not
  // looked since) and not; and without one.
  LazyProxy<Counter> other(a.address());
  a = nullptr;
  EXPECT_EQ(Peak::alive, 2);
  LazyProxy<Counter>(new Counter(3)).Delete();
  Counter* raw = new Counter(4);
  ASSERT_TRUE(ConvertObject(raw).ok());
  EXPECT_EQ(Peak::alive, 3);
  LazyProxy<Counter>(raw).Delete();
  EXPECT_EQ(Peak::alive, 2);
  c.reset();
  d.reset();
  late.reset();
  EXPECT_EQ(Peak::alive, 0);
  ASSERT_TRUE(step->Undo().ok());
}

TEST_F(AddedPartTest, TheSweepAddsWhileProxiesUseAndDestroy) {
  std::vector<LazyUnique<Counter>> counters;
  for (int i = 0; i < 3000; ++i) {
    counters.emplace_back(std::make_unique<Counter>(i));
  }
  auto step = ProgressiveConversion<Counter, Peak>({}, 16);
  ASSERT_TRUE(step->Prepare().ok());
  ASSERT_TRUE(step->Apply().ok());
  for (int i = 0; i < 3000; i += 2) {
    if (i % 4 == 0) {
      counters[i].reset();
    } else {
      ASSERT_EQ(version_cast<Peak>(counters[i].get())->start, i);
    }
  }
  step->WaitUntilDone();
  EXPECT_EQ(Of(0), 0u);
  EXPECT_EQ(Of(1), 2250u);
  EXPECT_EQ(Peak::alive, 2250);
  ASSERT_TRUE(step->Undo().ok());
}

TEST_F(AddedPartTest, ALaterPartIsAddedToTheLast) {
  auto counters = Make(10);
  auto first = LazyConversion<Counter, Peak>();
  ASSERT_TRUE(first->Prepare().ok());
  ASSERT_TRUE(first->Apply().ok());
  ASSERT_TRUE(ConvertObject(counters[0].get()).ok());
  auto second = EagerConversion<Peak, Mean>();
  ASSERT_TRUE(second->Prepare().ok());
  ASSERT_TRUE(second->Apply().ok());
  EXPECT_EQ(Of(2), 10u);
  for (auto& counter : counters) {
    Peak* peak = version_cast<Peak>(counter.get());
    Mean* mean = version_cast<Mean>(counter.get());
    ASSERT_NE(mean, nullptr);
    EXPECT_EQ(mean->before, peak);
    EXPECT_GE(static_cast<void*>(mean), static_cast<void*>(peak + 1));
  }
  EXPECT_EQ(first->Undo().code(), absl::StatusCode::kFailedPrecondition);
  // Both parts end with their object.
  for (auto& counter : counters) {
    const_cast<int&>(version_cast<Mean>(counter.get())->peaks_at_birth) = 10;
  }
  counters.pop_back();
  EXPECT_EQ(Peak::alive, 9);
  EXPECT_EQ(Mean::alive, 9);
  for (auto& counter : counters) {
    const_cast<int&>(version_cast<Mean>(counter.get())->peaks_at_birth) = 9;
  }
  ASSERT_TRUE(second->Undo().ok());
  EXPECT_EQ(Mean::alive, 0);
  EXPECT_EQ(Peak::alive, 9);
  EXPECT_EQ(version_cast<Mean>(counters[0].get()), nullptr);
  EXPECT_NE(version_cast<Peak>(counters[0].get()), nullptr);
  ASSERT_TRUE(first->Undo().ok());
}

// What has no room, and what has it elsewhere.
struct Small : Updatable<Small, 8> {
  std::atomic<int> value{1};
};
struct SmallMore : AddedTo<Small> {
  explicit SmallMore(Small&) noexcept {}
  std::int64_t more[4] = {};
};
struct SmallByte : AddedTo<Small> {
  explicit SmallByte(Small&) noexcept {}
  char more = 1;
};
struct SmallWide : AddedTo<Small> {
  explicit SmallWide(Small&) noexcept {}
  alignas(64) char more = 1;
};

static_assert(WhyNot<Small, SmallMore> == Refusal::kTooLarge);
static_assert(WhyNot<Small, SmallWide> == Refusal::kTooLarge);
// Of this one, only the program knows what slots its objects have.
struct SmallByteMore : AddedTo<SmallByte> {
  explicit SmallByteMore(Small&) noexcept {}
  std::int64_t more[4] = {};
};

TEST_F(AddedPartTest, TooLittleRoomIsRefused) {
  auto small = std::make_unique<Small>();
  {
    auto first = EagerConversion<Small, SmallByte>();
    ASSERT_TRUE(first->Prepare().ok());
    ASSERT_TRUE(first->Apply().ok());
    EXPECT_THAT(std::string((ConvertAll<SmallByte, SmallByteMore>()).message()),
                AllOf(HasSubstr("SmallByteMore has 56 bytes, 17 of them its "
                                "last version's"),
                      HasSubstr("behind one pointer")));
    ASSERT_TRUE(first->Undo().ok());
  }
  {
    static Small global;
    EXPECT_THAT(std::string((ConvertAll<Small, SmallByte>()).message()),
                AllOf(HasSubstr("1 objects were not made by `new`"),
                      HasSubstr("std::shared_ptr<T>(new T)")));
    ConversionOptions options;
    options.leave_what_cannot_grow = true;
    auto step = EagerConversion<Small, SmallByte>(options);
    ASSERT_TRUE(step->Prepare().ok());
    ASSERT_TRUE(step->Apply().ok());
    EXPECT_EQ(version_cast<SmallByte>(&global), nullptr);
    EXPECT_EQ(version_cast<SmallByte>(small.get())->more, 1);
    ASSERT_TRUE(step->Undo().ok());
  }
}

struct Large : Updatable<Large> {
  std::atomic<int> value{1};
  char bytes[50000];
};
struct LargePart : AddedTo<Large> {
  explicit LargePart(Large&) noexcept { ++alive; }
  ~LargePart() { --alive; }
  // The table that a large object is in gets an entry for it, and loses it.
  std::unique_ptr<Large> another = nullptr;
  static inline int alive = 0;
};

TEST_F(AddedPartTest, ObjectsTooLargeForSlabsHaveRoomToo) {
  auto large = std::make_unique<Large>();
  ASSERT_TRUE((ConvertAll<Large, LargePart>()).ok());
  ASSERT_NE(version_cast<LargePart>(large.get()), nullptr);
  version_cast<LargePart>(large.get())->another = std::make_unique<Large>();
  EXPECT_EQ(LargePart::alive, 1);
  large.reset();
  EXPECT_EQ(LargePart::alive, 0);
  EXPECT_EQ(WeakObjectPool<Large>().Counts().Total(), 0u);
}

// What only a part can follow: a class that is final, one with a virtual base.
struct Base : Updatable<Base> {
  int value = 1;
};
struct Last final : Base {
  std::atomic<int> count{2};
};
struct LastPart : AddedTo<Last> {
  explicit LastPart(Last& last) noexcept : seen(last.count) {}
  int seen;
};
struct Common {
  virtual ~Common() = default;
  int common = 7;
};
struct Rooted : Updatable<Rooted>, virtual Common {};
struct RootedPart : AddedTo<Rooted> {
  explicit RootedPart(Rooted& rooted) noexcept : seen(rooted.common) {}
  int seen;
};

TEST_F(AddedPartTest, FinalClassesAndVirtualBasesAreNoObstacle) {
  std::unique_ptr<Base> base = std::make_unique<Base>();
  std::unique_ptr<Base> last = std::make_unique<Last>();
  ASSERT_TRUE((ConvertAll<Last, LastPart>()).ok());
  EXPECT_EQ(version_cast<LastPart>(base.get()), nullptr);
  ASSERT_NE(version_cast<LastPart>(last.get()), nullptr);
  EXPECT_EQ(version_cast<LastPart>(last.get())->seen, 2);

  auto rooted = std::make_unique<Rooted>();
  ASSERT_TRUE((ConvertAll<Rooted, RootedPart>()).ok());
  EXPECT_EQ(version_cast<RootedPart>(rooted.get())->seen, 7);
}

TEST_F(AddedPartTest, WhatCanBeCopiedIsWarnedOf) {
  auto base = std::make_unique<Base>();
  struct BasePart : AddedTo<Base> {
    explicit BasePart(Base&) noexcept {}
    int mark = 4;
  };
  auto step = EagerConversion<Base, BasePart>();
  EXPECT_THAT(step->Check()->remarks, Contains(HasSubstr("copies, moves and")));
  ASSERT_TRUE(step->Prepare().ok());
  ASSERT_TRUE(step->Apply().ok());
  auto copy = std::make_unique<Base>(*base);
  EXPECT_EQ(version_cast<BasePart>(copy.get()), nullptr);
  ASSERT_TRUE(ConvertAllLateBirths().ok());
  EXPECT_EQ(version_cast<BasePart>(copy.get())->mark, 4);
  ASSERT_TRUE(step->Undo().ok());
}

// What is refused by the compiler.
struct ToAnother : AddedTo<Base> {
  explicit ToAnother(Base&) noexcept {}
};
static_assert(WhyNot<Counter, ToAnother> == Refusal::kAddedToAnother);
static_assert(WhyNot<Counter, Mean> == Refusal::kAddedToAnother);
struct Derives : Base {
  explicit Derives(Base&& old) noexcept : Base(std::move(old)) {}
};
static_assert(WhyNot<ToAnother, Derives> == Refusal::kOldIsAdded);
struct NoConstructor : AddedTo<Base> {};
static_assert(WhyNot<Base, NoConstructor> == Refusal::kNoConstructorFromObject);
struct Throws : AddedTo<Base> {
  explicit Throws(Base&) {}
};
static_assert(WhyNot<Base, Throws> == Refusal::kConstructorFromObjectThrows);
struct WithoutObject : AddedTo<Base> {
  explicit WithoutObject(Base&) noexcept {}
  void Convert() {}
};
static_assert(WhyNot<Base, WithoutObject> == Refusal::kAddedConvertUnusable);
struct BackThrows : AddedTo<Base> {
  explicit BackThrows(Base&) noexcept {}
  void ConvertBack(Base&) {}
};
static_assert(WhyNot<Base, BackThrows> == Refusal::kAddedConvertBackUnusable);

}  // namespace
}  // namespace instar
