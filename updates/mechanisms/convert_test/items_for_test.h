// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Classes that tests convert, and a next version of each.

#ifndef INSTAR_UPDATES_MECHANISMS_CONVERT_TEST_ITEMS_FOR_TEST_H_
#define INSTAR_UPDATES_MECHANISMS_CONVERT_TEST_ITEMS_FOR_TEST_H_

#include <atomic>
#include <memory>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "heap/class_version.h"
#include "heap/updatable.h"
#include "updates/mechanisms/convert_test/class_functions_for_test.h"

namespace instar {
namespace updates_test {

// Each test of what cannot be undone has its own.
template <int kNumber>
struct Item : Updatable<Item<kNumber>> {
  virtual int Version() const { return 1; }
  int fails_at = 0;
};
template <int kNumber>
struct ItemV2 : Item<kNumber> {
  explicit ItemV2(Item<kNumber>&& old) noexcept
      : Item<kNumber>(std::move(old)) {}
  absl::Status Convert() {
    return this->fails_at == 2 ? absl::DataLossError("no mark for this one")
                               : absl::OkStatus();
  }
  int Version() const override { return 2; }
};

// Waits, where it is converted, for what a held thread would have to do.
inline std::atomic<long> g_rounds{0};
inline std::atomic<bool> g_waits{false};
inline std::atomic<int> g_conversions{0};
template <int kNumber>
struct Waiting : Updatable<Waiting<kNumber>> {
  virtual int Version() const { return 1; }
};
template <int kNumber>
struct WaitingV2 : Waiting<kNumber> {
  explicit WaitingV2(Waiting<kNumber>&& old) noexcept
      : Waiting<kNumber>(std::move(old)) {}
  int Version() const override { return 2; }
  void Convert() {
    ++g_conversions;
    const long before = g_rounds;
    while (g_waits && g_rounds < before + 2) std::this_thread::yield();
  }
};

inline bool IsStoreV2(const std::unique_ptr<Store>& store) {
  return version_cast<StoreV2>(store.get()) != nullptr;
}

}  // namespace updates_test
}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_CONVERT_TEST_ITEMS_FOR_TEST_H_
