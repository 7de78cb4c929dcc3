// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Compiled twice, with INSTAR_LOOPS naming the namespace.

#include "threads/update_point_test/loops_for_test.h"

namespace INSTAR_LOOPS {

unsigned long sum = 0;
std::atomic<int> unwound{0};

namespace {

constexpr unsigned kMask = 63;
unsigned long table[kMask + 1] = {1, 2, 3};

struct Noted {
  ~Noted() { unwound.fetch_add(1); }
};

// Nothing in it throws but what the compiler puts there.
void SumTable() {
  const Noted noted;
  unsigned i = 0;
  while (true) sum += table[i++ & kMask];
}

}  // namespace

void SumForEver() {
  const Noted noted;
  SumTable();
}

void SumUntil(const std::atomic<bool>& stop) {
  const Noted noted;
  for (unsigned i = 0; !stop.load(std::memory_order_relaxed); ++i) {
    sum += table[i & kMask];
  }
}

template <typename T>
void Sum(const std::atomic<bool>& stop) {
  const Noted noted;
  T i = 0;
  while (!stop.load(std::memory_order_relaxed)) sum += table[i++ & kMask];
}

void SumInTemplate(const std::atomic<bool>& stop) { Sum<unsigned>(stop); }

void CountUntil(const std::atomic<bool>& stop, Twins& twins) {
  while (!stop.load(std::memory_order_relaxed)) {
    ++twins.first;
    ++twins.second;
  }
}

}  // namespace INSTAR_LOOPS
