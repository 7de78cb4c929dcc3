// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions that an exception passes in all the ways there are. Compiled twice:
// without and with optimization.

#include "base/exception_table_cases.h"

#include <stdexcept>

namespace instar {
namespace INSTAR_CASES {
namespace {

// Its destructor is seen by the compiler to do something.
class Guard {
 public:
  explicit Guard(Trace* trace) : trace_(trace) {}
  ~Guard() { ++trace_->destructors; }

 private:
  Trace* trace_;
};

inline __attribute__((always_inline)) void InlinedWithCleanup(Trace* trace) {
  Guard guard(trace);
  trace->action();
}

inline __attribute__((always_inline)) void InlinedNoexcept(
    Trace* trace) noexcept {
  trace->action();
}

void Plain(Trace* trace) {
  trace->action();
  ++trace->returned;
}

void WithCleanup(Trace* trace) {
  Guard guard(trace);
  trace->action();
  ++trace->returned;
}

void WithInlinedCleanup(Trace* trace) {
  InlinedWithCleanup(trace);
  ++trace->returned;
}

void OtherTypeCaught(Trace* trace) {
  try {
    trace->action();
  } catch (const std::runtime_error&) {
    ++trace->caught;
  }
  ++trace->returned;
}

void OtherTypeCaughtWithCleanups(Trace* trace) {
  Guard outer(trace);
  try {
    Guard inner(trace);
    trace->action();
  } catch (const std::runtime_error&) {
    ++trace->caught;
  }
  ++trace->returned;
}

void ItsTypeCaught(Trace* trace) {
  Guard outer(trace);
  try {
    trace->action();
  } catch (const ThrownByTest&) {
    ++trace->caught;
  }
}

void AllCaught(Trace* trace) {
  try {
    trace->action();
  } catch (...) {
    ++trace->caught;
  }
}

void AllCaughtAfterATypedCatch(Trace* trace) {
  Guard outer(trace);
  try {
    trace->action();
  } catch (const std::runtime_error&) {
    trace->caught += 100;
  } catch (...) {
    ++trace->caught;
  }
}

void Rethrown(Trace* trace) {
  try {
    trace->action();
  } catch (...) {
    throw;
  }
  ++trace->returned;
}

void InsideHandler(Trace* trace) {
  try {
    throw std::runtime_error("first");
  } catch (const std::runtime_error&) {
    trace->action();
  }
  ++trace->returned;
}

void Noexcept(Trace* trace) noexcept {
  trace->action();
  ++trace->returned;
}

void NoexceptWithCleanup(Trace* trace) noexcept {
  Guard guard(trace);
  trace->action();
  ++trace->returned;
}

void NoexceptWithInlinedCleanup(Trace* trace) noexcept {
  InlinedWithCleanup(trace);
  ++trace->returned;
}

void WithInlinedNoexcept(Trace* trace) {
  Guard guard(trace);
  InlinedNoexcept(trace);
  ++trace->returned;
}

void NoexceptWithTypedCatch(Trace* trace) noexcept {
  try {
    trace->action();
  } catch (const std::runtime_error&) {
    ++trace->caught;
  }
  ++trace->returned;
}

void NoexceptWithTypedCatchAndCleanup(Trace* trace) noexcept {
  try {
    Guard guard(trace);
    trace->action();
  } catch (const std::runtime_error&) {
    ++trace->caught;
  }
  ++trace->returned;
}

class DestructorCalls {
 public:
  explicit DestructorCalls(Trace* trace) : trace_(trace) {}
  ~DestructorCalls() { trace_->action(); }

 private:
  Trace* trace_;
};

void InsideDestructor(Trace* trace) {
  DestructorCalls object(trace);
  ++trace->returned;
}

void NoexceptThatCatchesAll(Trace* trace) noexcept {
  try {
    trace->action();
  } catch (...) {
    ++trace->caught;
  }
}

}  // namespace

const std::vector<Case>& Cases() {
  using Outcome = ExceptionOutcome;
  static const std::vector<Case>* const cases = new std::vector<Case>{
      {"Plain", &Plain, Outcome::kPasses, Fate::kArrives, 0},
      {"WithCleanup", &WithCleanup, Outcome::kCleanup, Fate::kArrives, 1},
      {"WithInlinedCleanup", &WithInlinedCleanup, Outcome::kCleanup,
       Fate::kArrives, 1},
      {"OtherTypeCaught", &OtherTypeCaught, Outcome::kTypedCatch,
       Fate::kArrives, 0},
      {"OtherTypeCaughtWithCleanups", &OtherTypeCaughtWithCleanups,
       Outcome::kTypedCatch, Fate::kArrives, 2},
      {"ItsTypeCaught", &ItsTypeCaught, Outcome::kTypedCatch, Fate::kCaught, 1},
      {"AllCaught", &AllCaught, Outcome::kCatchAll, Fate::kCaught, 0},
      {"AllCaughtAfterATypedCatch", &AllCaughtAfterATypedCatch,
       Outcome::kCatchAll, Fate::kCaught, 1},
      {"Rethrown", &Rethrown, Outcome::kCatchAll, Fate::kArrives, 0},
      {"InsideHandler", &InsideHandler, Outcome::kCleanup, Fate::kArrives, 0},
      {"Noexcept", &Noexcept, Outcome::kTerminates, Fate::kTerminates, 0},
      {"NoexceptWithCleanup", &NoexceptWithCleanup, Outcome::kTerminates,
       Fate::kTerminates, 0},
      {"NoexceptWithInlinedCleanup", &NoexceptWithInlinedCleanup,
       Outcome::kMayTerminate, Fate::kTerminates, 0},
      {"WithInlinedNoexcept", &WithInlinedNoexcept, Outcome::kTerminates,
       Fate::kTerminates, 0},
      {"NoexceptWithTypedCatch", &NoexceptWithTypedCatch,
       Outcome::kMayTerminate, Fate::kTerminates, 0},
      {"NoexceptWithTypedCatchAndCleanup", &NoexceptWithTypedCatchAndCleanup,
       Outcome::kMayTerminate, Fate::kTerminates, 0},
      {"InsideDestructor", &InsideDestructor, Outcome::kTerminates,
       Fate::kTerminates, 0},
      {"NoexceptThatCatchesAll", &NoexceptThatCatchesAll, Outcome::kCatchAll,
       Fate::kCaught, 0},
  };
  return *cases;
}

}  // namespace INSTAR_CASES
}  // namespace instar
