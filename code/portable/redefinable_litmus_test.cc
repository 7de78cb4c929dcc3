// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What code/redefinable.h claims of the order of memory, by two threads, a
// million times: who runs a version sees what was done before it was published.
// It says something on processors that order less than x86-64 does, and there
// only where nobody translates the program.

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "code/redefinable.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

constexpr std::uint64_t kPublished = 1'000'000;
constexpr std::uint64_t kVersions = 64;

template <std::uint64_t version>
std::uint64_t Version() {
  return version;
}

template <std::uint64_t... versions>
std::vector<std::uint64_t (*)()> AllVersions(
    std::integer_sequence<std::uint64_t, versions...>) {
  return {&Version<versions>...};
}

Redefinable<std::uint64_t()> slot(&Version<0>);
// Relaxed: what orders it is the slot.
std::atomic<std::uint64_t> written{0};

TEST(RedefinableLitmusTest, WhoRunsAVersionSeesWhatWasDoneBefore) {
  std::vector<std::unique_ptr<RedefinableRedirection>> redirections;
  for (std::uint64_t (*version)() :
       AllVersions(std::make_integer_sequence<std::uint64_t, kVersions>())) {
    redirections.push_back(
        std::make_unique<RedefinableRedirection>(slot, version));
  }
  std::atomic<bool> is_over{false};
  std::uint64_t looked = 0;
  std::uint64_t stale = 0;
  std::thread reader([&] {
    while (!is_over.load(std::memory_order_relaxed)) {
      const std::uint64_t before = written.load(std::memory_order_relaxed);
      const std::uint64_t version = slot();
      const std::uint64_t after = written.load(std::memory_order_relaxed);
      // Too much has happened meanwhile to say which one it was, which may be
      // the one before the one that `before` tells of.
      if (after - before + 1 >= kVersions / 2) continue;
      ++looked;
      // It was published after as many were written, or more.
      stale += (after - version) % kVersions >= kVersions / 2 ? 1 : 0;
    }
  });
  for (std::uint64_t number = 1; number <= kPublished; ++number) {
    written.store(number, std::memory_order_relaxed);
    redirections[number % kVersions]->Apply();
    if (number > 1) redirections[(number - 1) % kVersions]->Undo();
  }
  is_over = true;
  reader.join();
  EXPECT_EQ(stale, 0u) << "of " << looked;
}

}  // namespace
}  // namespace instar
