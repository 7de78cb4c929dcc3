// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// An object whose addresses are looked for, and what is expected to be found.

#ifndef INSTAR_MANAGER_MODULE_SCAN_REFERENCE_SCAN_FIXTURE_H_
#define INSTAR_MANAGER_MODULE_SCAN_REFERENCE_SCAN_FIXTURE_H_

#include <sys/mman.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "base/linux/own_thread.h"
#include "base/testing/cleared_stacks.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/module/scan/reference_scan.h"

namespace instar {
namespace manager_internal {

inline constexpr std::size_t kSize = 0x30000;
inline constexpr std::size_t kRoom = 1 << 16;  // of a stack in an array
inline constexpr std::size_t kCleared = 4 * kRoom;
// What is looked at of it; in front of that is what this test itself knows.
inline constexpr std::size_t kPart = 0x1000;
inline constexpr std::uint64_t kOffset = 0x12340;
// Time enough, also on a busy machine.
inline constexpr std::chrono::seconds kLongest(60);

// Nothing of this program has the address of its inside.
inline std::uintptr_t hidden_object = 0;

// Writes an address of the inside.
__attribute__((noinline)) inline void Plant(void* at, std::uintptr_t more = 0) {
  volatile std::uintptr_t address = (~hidden_object + kOffset) | more;
  std::memcpy(at, const_cast<std::uintptr_t*>(&address), sizeof(address));
  address = 0;
}

inline std::optional<Reference> Scan(std::chrono::nanoseconds longest) {
  ClearStack<kCleared>();
  std::optional<Reference> found;
  absl::StatusOr<std::thread> thread = StartOwnThread("scan", [&] {
    const std::uintptr_t begin = ~hidden_object;
    ReferenceScan scan({begin, begin + kSize});
    scan.Look(kPart, kSize);
    found = scan.Run(longest);
  });
  EXPECT_TRUE(thread.ok()) << thread.status();
  if (thread.ok()) thread->join();
  return found;
}

// Again, if a thread has not run in the time in which it is waited for, as it
// happens on a busy machine.
inline std::optional<Reference> ScanOfAllThreads(
    std::chrono::nanoseconds longest = kLongest) {
  constexpr int kTries = 100;
  for (int i = 1;; ++i) {
    std::optional<Reference> found = Scan(longest);
    if (i == kTries || !found.has_value() ||
        found->where.find("takes no signal") == std::string::npos) {
      return found;
    }
  }
}

inline void ExpectFound(const std::string& where) {
  const std::optional<Reference> found = ScanOfAllThreads();
  ASSERT_TRUE(found.has_value());
  EXPECT_THAT(found->where, ::testing::HasSubstr(where));
  EXPECT_EQ(found->offset, kOffset);
}

inline void ExpectUnknown(const std::string& why) {
  const std::optional<Reference> found = Scan(kLongest);
  ASSERT_TRUE(found.has_value());
  EXPECT_THAT(found->where, ::testing::HasSubstr(why));
  EXPECT_FALSE(found->offset.has_value());
}

inline void ExpectNothing() {
  const std::optional<Reference> found = ScanOfAllThreads();
  if (found.has_value()) ADD_FAILURE() << found->where;
}

class ReferenceScanTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    hidden_object = ~reinterpret_cast<std::uintptr_t>(
        mmap(nullptr, kSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  }
  void SetUp() override { ExpectNothing(); }
  void TearDown() override {
    ClearEndedStacks<kCleared>();
    ClearStack<kCleared>();
    ExpectNothing();
  }
};

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_SCAN_REFERENCE_SCAN_FIXTURE_H_
