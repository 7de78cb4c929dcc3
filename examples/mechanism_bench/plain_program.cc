// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/mechanism_bench/program.h"

namespace mechanism_bench {

std::uint64_t PlainWork(std::uint64_t seed) { return Churn(seed); }

std::uint64_t PlainItem::Use(std::uint64_t seed) {
  ++uses_;
  return Churn(seed);
}

}  // namespace mechanism_bench
