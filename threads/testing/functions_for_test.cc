// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/testing/functions_for_test.h"

#include "code/entries_here.h"
#include "threads/update_point.h"

namespace instar {
namespace threads_test {
namespace {

inline void PointWithoutEntries() {
  if (!kHasFunctionEntries) UpdatePoint();
}

}  // namespace

int Step(int n) { return n + 1; }

void StepUntil(const std::atomic<bool>& stop) {
  int n = 0;
  while (!stop) {
    n = Step(n);
    PointWithoutEntries();
  }
}

void StepForEver() {
  for (int n = 0;; n = Step(n)) PointWithoutEntries();
}

void CallThrough(const std::function<void()>& call) {
  call();
  Step(1);
}

void CallThroughNoexcept(const std::function<void()>& call) noexcept {
  call();
  asm volatile("");
}

void StepInLock(std::mutex& mutex, const std::atomic<bool>& stop) {
  int n = 0;
  while (!stop) {
    std::lock_guard<std::mutex> lock(mutex);
    n = Step(n);
    PointWithoutEntries();
  }
}

}  // namespace threads_test
}  // namespace instar
