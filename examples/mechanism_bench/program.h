// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the programs of the bench are made of: a function and its next version,
// a class and its next version, each about a microsecond of work. The plain
// ones are the same without anything that could be updated.

#ifndef INSTAR_EXAMPLES_MECHANISM_BENCH_PROGRAM_H_
#define INSTAR_EXAMPLES_MECHANISM_BENCH_PROGRAM_H_

#include <cstdint>
#include <utility>

#include "heap/updatable.h"

namespace mechanism_bench {

// A thousand rounds of a generator of numbers.
inline std::uint64_t Churn(std::uint64_t seed) {
  for (int i = 0; i < 1000; ++i) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
  }
  return seed;
}

std::uint64_t Work(std::uint64_t seed);
std::uint64_t NextWork(std::uint64_t seed);

class Item : public instar::Updatable<Item> {
 public:
  virtual std::uint64_t Use(std::uint64_t seed);

 protected:
  std::uint64_t uses_ = 0;
};

class NextItem : public Item {
 public:
  explicit NextItem(Item&& old) noexcept : Item(std::move(old)) {}
  std::uint64_t Use(std::uint64_t seed) override;

 private:
  std::uint64_t last_seed_ = 0;
};

// plain_program.cc
std::uint64_t PlainWork(std::uint64_t seed);

class PlainItem {
 public:
  virtual ~PlainItem() = default;
  virtual std::uint64_t Use(std::uint64_t seed);

 private:
  std::uint64_t uses_ = 0;
};

}  // namespace mechanism_bench

#endif  // INSTAR_EXAMPLES_MECHANISM_BENCH_PROGRAM_H_
