// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The functions that base/exception_table_test.cc throws through.

#ifndef INSTAR_BASE_EXCEPTION_TABLE_CASES_H_
#define INSTAR_BASE_EXCEPTION_TABLE_CASES_H_

#include <functional>
#include <vector>

#include "base/exception_table.h"

namespace instar {

struct ThrownByTest {};

// What a case calls, and what it counts.
struct Trace {
  std::function<void()> action;
  int destructors = 0;
  int caught = 0;
  int returned = 0;
};

// What becomes of a ThrownByTest that `action` throws.
enum class Fate { kArrives, kCaught, kTerminates };

struct Case {
  const char* name;
  void (*function)(Trace*);
  ExceptionOutcome outcome;
  Fate fate;
  int destructors;  // that run before the exception arrives or is caught
};

namespace unoptimized {
const std::vector<Case>& Cases();
}  // namespace unoptimized

namespace optimized {
const std::vector<Case>& Cases();
}  // namespace optimized

}  // namespace instar

#endif  // INSTAR_BASE_EXCEPTION_TABLE_CASES_H_
