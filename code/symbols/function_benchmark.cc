// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Finding the function at a program counter, for program counters all over the
// C++ library: with a FunctionMap, with a bare binary search over the entries
// of that one library (the limit), and with dladdr().

#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "benchmark/benchmark.h"
#include "code/symbols/function.h"

namespace instar {
namespace {

struct Sample {
  std::vector<uintptr_t> entries;  // of the library, in order
  std::vector<uintptr_t> pcs;      // in its functions, at random
};

const Sample& GetSample() {
  static const Sample& sample = *[] {
    auto* result = new Sample;
    const FunctionMap map = FunctionMap::Preload();
    // All functions of the object that holds operator new.
    const Function in_library =
        *Function::Of<void*(std::size_t)>(&::operator new);
    constexpr uintptr_t kReach = 4 << 20;
    for (uintptr_t pc = in_library.entry() - kReach;
         pc < in_library.entry() + kReach; pc += 16) {
      const std::optional<Function> f = map.Containing(pc);
      if (!f.has_value() || f->load_base() != in_library.load_base()) continue;
      if (result->entries.empty() || result->entries.back() != f->entry()) {
        result->entries.push_back(f->entry());
      }
    }
    std::sort(result->entries.begin(), result->entries.end());
    std::mt19937 random(1);
    for (int i = 0; i < 4096; ++i) {
      result->pcs.push_back(result->entries[random() % result->entries.size()] +
                            1);
    }
    return result;
  }();
  return sample;
}

// Calls `find` with one program counter after another.
template <typename Find>
void Run(benchmark::State& state, Find find) {
  const std::vector<uintptr_t>& pcs = GetSample().pcs;
  size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(find(pcs[i]));
    if (++i == pcs.size()) i = 0;
  }
}

void FindWithInstar(benchmark::State& state) {
  const FunctionMap map = FunctionMap::Preload();
  Run(state, [&map](uintptr_t pc) { return map.Containing(pc); });
}

void FindWithBinarySearch(benchmark::State& state) {
  const std::vector<uintptr_t>& entries = GetSample().entries;
  Run(state, [&entries](uintptr_t pc) {
    return *(std::upper_bound(entries.begin(), entries.end(), pc) - 1);
  });
}

void FindWithDladdr(benchmark::State& state) {
  Run(state, [](uintptr_t pc) {
    Dl_info info;
    return dladdr(reinterpret_cast<void*>(pc), &info);
  });
}

BENCHMARK(FindWithInstar)->Name("find_by_pc/instar");
BENCHMARK(FindWithBinarySearch)->Name("find_by_pc/limit");
BENCHMARK(FindWithDladdr)->Name("find_by_pc/dladdr");

}  // namespace
}  // namespace instar
