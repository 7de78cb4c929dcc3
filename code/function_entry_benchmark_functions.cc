// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/function_entry_benchmark_functions.h"

#include <utility>

namespace instar {
namespace entry_benchmark {

__attribute__((noinline)) int Updatable(int a) { return a + 1; }
__attribute__((noinline)) int UpdatableNext(int a) { return a + 1; }

template <int kNumber>
__attribute__((noinline)) int Many(int a) {
  return a * kNumber + (a >> (kNumber & 15)) + kNumber;
}

namespace {

// In hundreds, for the compiler's sake.
template <int kFirst, int... kNumbers>
void AddHundred(std::vector<ManyFunction>& functions,
                std::integer_sequence<int, kNumbers...>) {
  (functions.push_back(&Many<kFirst + kNumbers>), ...);
}

template <int... kHundreds>
void AddAll(std::vector<ManyFunction>& functions,
            std::integer_sequence<int, kHundreds...>) {
  (AddHundred<kHundreds * 100>(functions,
                               std::make_integer_sequence<int, 100>()),
   ...);
}

}  // namespace

std::vector<ManyFunction> ManyFunctions() {
  std::vector<ManyFunction> functions;
  AddAll(functions, std::make_integer_sequence<int, 100>());
  return functions;
}

}  // namespace entry_benchmark
}  // namespace instar
