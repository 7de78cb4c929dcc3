// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Conversions where the system gives no more memory: they take what they have,
// forget no object, and can be rolled back.

#include <sys/resource.h>

#include <cstddef>
#include <memory>
#include <new>
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

// While one is alive, nothing more can be mapped.
class NoMemory {
 public:
  NoMemory() {
    EXPECT_EQ(getrlimit(RLIMIT_AS, &before_), 0);
    rlimit none = before_;
    none.rlim_cur = 1;
    EXPECT_EQ(setrlimit(RLIMIT_AS, &none), 0);
  }
  ~NoMemory() { setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_;
};

// More than what is reserved when there are none.
constexpr std::size_t kMany = 3000;

template <int kTest>
struct Box : Updatable<Box<kTest>> {
  virtual int Version() const { return 1; }
  int value = 0;
};
template <int kTest>
struct BoxV2 : Box<kTest> {
  explicit BoxV2(Box<kTest>&& old) noexcept : Box<kTest>(std::move(old)) {}
  int Version() const override { return 2; }
  absl::Status Convert() {
    if (this->value == bad) return absl::AbortedError("not this one");
    ++this->value;
    return absl::OkStatus();
  }
  void ConvertBack() noexcept { --this->value; }
  static inline int bad = -1;
};

template <int kTest>
__attribute__((noinline)) int VersionOf(const Box<kTest>& box) {
  return box.Version();
}

template <int kTest>
void ExpectVersion(const std::vector<Box<kTest>>& boxes, int version) {
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    ASSERT_EQ(VersionOf(boxes[i]), version) << i;
    ASSERT_EQ(boxes[i].value, static_cast<int>(10 * i) + version - 1);
  }
}

template <int kTest>
void Number(std::vector<Box<kTest>>& boxes) {
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    boxes[i].value = static_cast<int>(10 * i);
  }
}

TEST(NoMemoryTest, ObjectsMadeSinceThePreparationAreConverted) {
  auto step = EagerConversion<Box<0>, BoxV2<0>>();
  ASSERT_EQ(step->Prepare(), absl::OkStatus());
  std::vector<Box<0>> boxes(kMany);
  Number(boxes);
  absl::Status applied, undone;
  {
    const NoMemory none;
    applied = step->Apply();
  }
  ASSERT_EQ(applied, absl::OkStatus());
  ExpectVersion(boxes, 2);
  {
    const NoMemory none;
    undone = step->Undo();
  }
  ASSERT_EQ(undone, absl::OkStatus());
  ExpectVersion(boxes, 1);
}

TEST(NoMemoryTest, AConversionThatFailsIsRolledBack) {
  auto step = EagerConversion<Box<1>, BoxV2<1>>();
  ASSERT_EQ(step->Prepare(), absl::OkStatus());
  const auto first = std::make_unique<Box<1>>();  // in a slab
  std::vector<Box<1>> boxes(kMany);
  Number(boxes);
  BoxV2<1>::bad = boxes.back().value;  // with the highest address
  absl::Status status;
  {
    const NoMemory none;
    status = step->Apply();
  }
  EXPECT_TRUE(absl::IsAborted(status)) << status;
  ExpectVersion(boxes, 1);
  EXPECT_EQ(VersionOf(*first), 1);
  EXPECT_EQ(first->value, 0);
  BoxV2<1>::bad = -1;
  ASSERT_EQ(step->Prepare(), absl::OkStatus());
  ASSERT_EQ(step->Apply(), absl::OkStatus());
  ExpectVersion(boxes, 2);
  ASSERT_EQ(step->Undo(), absl::OkStatus());
}

TEST(NoMemoryTest, NoObjectThatOldCodeHasMadeIsForgotten) {
  auto step = EagerConversion<Box<2>, BoxV2<2>>();
  ASSERT_EQ(step->Prepare(), absl::OkStatus());
  ASSERT_EQ(step->Apply(), absl::OkStatus());
  std::vector<Box<2>> boxes(kMany);
  Number(boxes);
  ExpectVersion(boxes, 1);
  absl::Status status;
  {
    const NoMemory none;
    status = ConvertLateBirths(Box<2>::Class());
  }
  EXPECT_EQ(status, absl::OkStatus());
  ExpectVersion(boxes, 2);
  ASSERT_EQ(step->Undo(), absl::OkStatus());
}

// Objects that could not be entered: none is lost from the count.
TEST(NoMemoryTest, WhatIsNotTrackedIsCounted) {
  constexpr std::size_t kObjects = 100 * kMany;
  const auto storage = std::make_unique<std::byte[]>(kObjects * sizeof(Box<9>));
  const auto at = [&](std::size_t i) {
    return reinterpret_cast<Box<9>*>(&storage[i * sizeof(Box<9>)]);
  };
  {
    const NoMemory no_memory;
    for (std::size_t i = 0; i < kObjects; ++i) ::new (at(i)) Box<9>;
  }
  const ObjectCounts counts = WeakObjectPool<Box<9>>().Counts();
  EXPECT_GT(counts.untracked, 0u);
  EXPECT_EQ(counts.outside + counts.untracked, kObjects);
  EXPECT_EQ(counts.Total(), kObjects);
  std::size_t visited = 0;
  WeakObjectPool<Box<9>>().ForEach([&](Box<9>&) { ++visited; });
  EXPECT_EQ(visited, counts.outside);
  for (std::size_t i = 0; i < kObjects; ++i) std::destroy_at(at(i));
  EXPECT_EQ(WeakObjectPool<Box<9>>().Counts().untracked, 0u);
  EXPECT_EQ(WeakObjectPool<Box<9>>().Counts().Total(), 0u);
}

}  // namespace
}  // namespace instar
