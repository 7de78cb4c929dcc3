// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether an exception can travel from a snapshot to the base of its stack.
//
//   UnwindSafety safety = CheckUnwindSafety(SnapshotOf(paused));
//   if (!safety.safe()) return NotYet(safety.ToString());
//
// A frame stops an exception if it is that of a noexcept function or of a
// destructor, or if its compiler was told that the call throws nothing: the
// runtime would call std::terminate. See base/exception_table.h for what a
// table shows, what it does not show, and on which side the answer errs. Unsafe
// means "not from here": the next update point may lie in other frames.
//
// A frame of C lets an exception pass and releases nothing: what it owns, a
// lock say, is lost. FindCFrame() finds one; whether it matters is not for this
// to say.
//
// A catch (...) on the way does not stop an exception for certain, since most
// rethrow; it is reported, because it may.
//
// Threads: any, also in a signal handler. Allocates nothing, takes no lock. The
// stack must not change meanwhile (stack/stack_walker.h). About 0.5 us a frame.

#ifndef INSTAR_STACK_UNWIND_SAFETY_H_
#define INSTAR_STACK_UNWIND_SAFETY_H_

#include <cstdint>
#include <optional>
#include <string>

#include "base/exception_table.h"
#include "stack/stack_snapshot.h"
#include "stack/stack_walker.h"

namespace instar {

struct UnwindSafety {
  enum class Verdict {
    kSafe,      // it reaches the base
    kUnsafe,    // `frame` ends it in std::terminate, or may
    kUnknown,   // the stack could not be walked: see `walk`
    kThroughC,  // it would pass `frame`, which is of C
  };

  Verdict verdict = Verdict::kUnknown;
  // kUnsafe: the innermost frame that stops it; kThroughC: that frame.
  Frame frame = {};
  ExceptionEffect effect;
  // Frames before that with a catch (...), and the innermost of them.
  int catch_all_frames = 0;
  Frame first_catch_all = {};
  WalkResult walk;

  bool safe() const { return verdict == Verdict::kSafe; }
  // "unsafe: ends in std::terminate at pc 0x..., frame 2". Allocates.
  std::string ToString() const;
};

// Looks at all frames up to the base; in a continulet, up to the function of
// the library that catches what leaves the body. If `catcher` is not 0, it is
// the address of the frame that will catch (__builtin_frame_address(0) in it),
// and that frame and those outside of it are not looked at; a stack that does
// not reach it is kUnknown.
UnwindSafety CheckUnwindSafety(const StackSnapshot& snapshot,
                               std::uintptr_t catcher = 0);

// Names of functions for FindCFrame(), read before it is called where no lock
// may be taken: of all objects that are loaded now. Takes locks, and reads
// files at the first call.
void PrepareToFindCFrames();

// The innermost frame up to the base, or to the catcher (as above), that is not
// C++: it has no exception table, and its function no C++ name. (A function
// that is `extern "C"` and has nothing to destroy counts, too.) Nothing if
// there is none, or if PrepareToFindCFrames() was never called.
std::optional<Frame> FindCFrame(const StackSnapshot& snapshot,
                                std::uintptr_t catcher = 0);

}  // namespace instar

#endif  // INSTAR_STACK_UNWIND_SAFETY_H_
