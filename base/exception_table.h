// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Says what a frame does to an exception that passes through it, before one is
// thrown.
//
//   ExceptionEffect effect = EffectOnException(return_address - 1);
//   if (StopsException(effect.outcome)) ...   // std::terminate would follow
//
//   // Before unwinding the calling thread's own stack:
//   std::optional<UnsafeFrame> frame = FrameThatTerminates(base_frame);
//   if (frame.has_value()) ... frame->pc is where std::terminate would follow
//
// What is decided, from the language-specific data area (LSDA) that GCC and
// clang write for a function:
//
//   the call is in ...                                   outcome
//   a function without an LSDA                           kPasses
//   an entry without a landing pad                       kPasses
//   no entry of its table (noexcept, GCC)                kTerminates
//   an entry with an empty or unreadable specification   kMayTerminate
//   an entry whose landing pad can reach std::terminate  kMayTerminate
//   an entry with destructors only                       kCleanup
//   an entry with handlers for certain types             kTypedCatch
//   an entry with catch (...)                            kCatchAll
//
// A table alone does not show every function that cannot be left by an
// exception: a noexcept function with a typed catch, or into which a function
// with destructors was inlined, has an entry like any other, whose landing pad
// ends in std::terminate instead of _Unwind_Resume. So the code that a landing
// pad belongs to is searched for calls of std::terminate. That errs on the safe
// side: a function that may call std::terminate for another reason in a part
// that has nothing to do with the exception is called unsafe too.
//
// What no table shows: a function without an LSDA of which the compiler has
// concluded that its callees cannot throw. An exception passes through it and
// does not run its destructors. Functions that an exception may start from must
// be opaque to the compiler of their callers.
//
// Threads: any. EffectOnException() and ReadExceptionTable() are lock-free and
// async-signal-safe; FrameThatTerminates() is _Unwind_Backtrace underneath and
// takes about 0.3 us a frame.
// Source: "Itanium C++ ABI: Exception Handling", level II; GCC's
// libstdc++-v3/libsupc++/eh_personality.cc describes the same tables.

#ifndef INSTAR_BASE_EXCEPTION_TABLE_H_
#define INSTAR_BASE_EXCEPTION_TABLE_H_

#include <cstdint>
#include <optional>
#include <typeinfo>

namespace instar {

enum class ExceptionOutcome {
  kPasses,        // travels on; nothing of this function runs
  kCleanup,       // destructors run, then it travels on
  kTypedCatch,    // a handler for certain types catches it, or it travels on
  kCatchAll,      // a catch (...) catches it, whatever it is
  kMayTerminate,  // std::terminate can follow
  kTerminates,    // std::terminate follows
  kUnknown,       // the function or its language is not known
};

// "passes", "runs destructors", ...
const char* ToString(ExceptionOutcome outcome);

// True for kMayTerminate, kTerminates and kUnknown: do not throw through it.
constexpr bool StopsException(ExceptionOutcome outcome) {
  return outcome == ExceptionOutcome::kMayTerminate ||
         outcome == ExceptionOutcome::kTerminates ||
         outcome == ExceptionOutcome::kUnknown;
}

struct ExceptionEffect {
  ExceptionOutcome outcome = ExceptionOutcome::kUnknown;
  std::uintptr_t function_start = 0;  // of the code region that holds the pc
  std::uintptr_t landing_pad = 0;     // where the function would go on, or 0
  // The first type that a handler catches, or null.
  const std::type_info* catches = nullptr;
};

// The effect on an exception that comes out of the instruction at `pc`: for a
// return address, pass the address minus one.
ExceptionEffect EffectOnException(std::uintptr_t pc);

// One entry of a table, as it stands there: what EffectOnException()
// interprets.
struct ExceptionTableEntry {
  bool covered = false;  // some entry of the call-site table holds the pc
  std::uintptr_t landing_pad = 0;
  bool has_cleanup = false;
  bool has_typed_catch = false;
  bool has_catch_all = false;
  bool has_specification = false;  // throw (types)
  bool malformed = false;
  const std::type_info* catches = nullptr;
};

// Reads the entry for `pc` of the language-specific data area at
// `language_data`, which belongs to the code region that starts at
// `region_start`.
ExceptionTableEntry ReadExceptionTable(std::uintptr_t language_data,
                                       std::uintptr_t region_start,
                                       std::uintptr_t pc);

struct UnsafeFrame {
  std::uintptr_t pc = 0;  // the return address in the frame; 0 if unwinding
                          // ended before the base was reached
  ExceptionEffect effect;
  int depth = 0;  // frames between the caller of the query and this one
};

// The first frame, from the caller outwards, that an exception thrown by the
// caller could not leave, or nothing if it would reach `base_frame`. Looks at
// frames whose canonical frame address is below `base_frame` (as
// __builtin_frame_address(0) gives it in the function that will catch); that
// the stack ends before it is an answer too: the outcome is then kUnknown. With
// a null `base_frame` all frames are looked at, and the end of the stack is its
// base.
std::optional<UnsafeFrame> FrameThatTerminates(
    const void* base_frame = nullptr);

}  // namespace instar

#endif  // INSTAR_BASE_EXCEPTION_TABLE_H_
