// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What updates of threads say of the objects that they convert.

#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "heap/lazy_proxy.h"
#include "heap/updatable.h"
#include "threads/testing/looping.h"
#include "updates/mechanisms/convert.h"
#include "updates/testing/within.h"
#include "updates/thread_updates.h"

namespace instar {
namespace objects_test {

std::atomic<bool> g_may_convert{true};

template <int kNumber>
struct Item : Updatable<Item<kNumber>> {
  virtual int Version() const { return 1; }
};
template <int kNumber>
struct ItemV2 : Item<kNumber> {
  explicit ItemV2(Item<kNumber>&& old) noexcept
      : Item<kNumber>(std::move(old)) {
    while (!g_may_convert) std::this_thread::yield();
  }
  int Version() const override { return 2; }
};

template <typename T>
std::vector<std::unique_ptr<T>> Many(int count) {
  std::vector<std::unique_ptr<T>> objects;
  for (int i = 0; i < count; ++i) objects.push_back(std::make_unique<T>());
  return objects;
}

TEST(ThreadUpdatesObjectsTest, OfAllParts) {
  const auto few = Many<Item<1>>(20);
  const auto more = Many<Item<2>>(300);
  // The first of the two converts for both.
  Looping worker("worker"), another("worker");
  ThreadUpdates threads("ratings");
  threads.Start(ConvertEagerly<Item<1>, ItemV2<1>>());
  threads.Add("worker", ConvertEagerly<Item<2>, ItemV2<2>>());
  const auto update = MakeUpdate(std::move(threads));
  EXPECT_EQ(update->Progress().objects_total, 0u);
  ASSERT_TRUE(update->Prepare().ok());
  EXPECT_EQ(update->Progress().objects_converted, 0u);
  EXPECT_EQ(update->Progress().objects_total, 320u);
  for (int round = 0; round < 2; ++round) {
    ASSERT_EQ(update->Apply(kPatiently), absl::OkStatus());
    EXPECT_EQ(update->Progress().objects_converted, 320u);
    EXPECT_EQ(update->Progress().objects_total, 320u);
    EXPECT_FALSE(update->Progress().is_converting);
    ASSERT_EQ(update->Undo(kPatiently), absl::OkStatus());
    EXPECT_EQ(update->Progress().objects_converted, 0u);
  }
}

TEST(ThreadUpdatesObjectsTest, ThatSomeAreConvertedInTheBackground) {
  std::vector<LazyUnique<Item<3>>> items;
  items.emplace_back(std::make_unique<Item<3>>());
  Looping worker("worker");
  ThreadUpdates threads("ratings");
  threads.Add("worker", ConvertProgressively<Item<3>, ItemV2<3>>());
  const auto update = MakeUpdate(std::move(threads));
  ASSERT_TRUE(update->Prepare().ok());
  EXPECT_FALSE(update->Progress().is_converting);
  g_may_convert = false;
  const absl::Status applied = update->Apply(kPatiently);
  const bool was_converting = update->Progress().is_converting;
  g_may_convert = true;
  ASSERT_EQ(applied, absl::OkStatus());
  EXPECT_TRUE(was_converting);
  while (update->Progress().is_converting) std::this_thread::yield();
  EXPECT_EQ(items[0].address()->Version(), 2);
  // It was none before it was applied.
  EXPECT_EQ(update->Progress().objects_total, 0u);
}

}  // namespace objects_test
}  // namespace instar
