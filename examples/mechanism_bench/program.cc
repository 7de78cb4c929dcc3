// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/mechanism_bench/program.h"

namespace mechanism_bench {

std::uint64_t Work(std::uint64_t seed) { return Churn(seed); }
std::uint64_t NextWork(std::uint64_t seed) { return Churn(seed + 1); }

std::uint64_t Item::Use(std::uint64_t seed) {
  ++uses_;
  return Churn(seed);
}

std::uint64_t NextItem::Use(std::uint64_t seed) {
  ++uses_;
  last_seed_ = seed;
  return Churn(seed + 1);
}

}  // namespace mechanism_bench
