// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The code of functions, for //stack:activity, and names for its answers.
//
//   INSTAR_ASSIGN_OR_RETURN(const Function f, Function::Of(&DoCommand));
//   INSTAR_ASSIGN_OR_RETURN(const WatchedFunctions watched,
//                           WatchedFunctions::Make({f}));
//   ... stop the threads ...
//   const Activity activity = FindActivity(snapshot, watched.set());
//   ... let them go on ...
//   if (!activity.quiescent()) return NotYet(watched.Describe(activity));
//
// The code of a function is
//   - its own, `f.cold` and clones included;
//   - the copies of it that were inlined into others, from debug information;
//   - the same of every function that it was ever redirected to, and that those
//     were redirected to in turn: activations of a version that has been
//     replaced or undone may still be on a stack.
// That a new version is watched as well means that a function of the program
// which serves as another one's new version counts as this one, whoever called
// it.
//
// Of an object of which not all functions are known, its whole code can be
// watched (Options::images).
//
// Lifetime: the set is what holds at the time of Make(): make it again after
// functions have been redirected or objects loaded. It refers to no object
// that could be unloaded, but its addresses mean nothing when that happens.
//
// Threads: Make() and Describe() may be called from any thread; they take locks
// and allocate, and Make() reads debug information (call
// PreloadInlinedCopies() of code/symbols/function.h early), so neither while
// threads are held. set() is for that time.
//
// Errors of Make():
//   FailedPrecondition  where a function was inlined is not known
//                       (Function::InlinedCopies()) and it is no function of
//                       external linkage, of which code that is built by
//                       updatable_cc_library holds no copies;
//                       the code of a version is in no known function
// The copies of the new versions are watched where they are known.

#ifndef INSTAR_STACK_FUNCTION_SET_H_
#define INSTAR_STACK_FUNCTION_SET_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/wiped.h"
#include "code/symbols/find_functions.h"
#include "code/symbols/function.h"
#include "stack/activity.h"
#include "stack/stack_snapshot.h"

namespace instar {

class WatchedFunctions {
 public:
  struct Options {
    // Watch a function although the copies of it are not known; activations of
    // those are not found then.
    bool ignore_unknown_copies = false;
    // False: copies in objects whose debug information was not read before are
    // not watched; see FindOptions (code/symbols/find_functions.h).
    bool read_debug_information = true;
    // Copies of functions that have no code of their own (FindFunctions()). The
    // number of the i-th in an Activity is i + the number of `functions`.
    std::vector<InlinedFunction> inlined;
    // Objects of which not all functions are known; any of their code counts.
    // The number of the i-th in an Activity is i + the number of both.
    std::vector<UnknownImage> images;
  };

  // The number of a function in an Activity is its place in `functions`.
  static absl::StatusOr<WatchedFunctions> Make(
      absl::Span<const Function> functions, Options options);
  static absl::StatusOr<WatchedFunctions> Make(
      absl::Span<const Function> functions) {
    return Make(functions, Options());
  }

  const FunctionSet& set() const { return set_; }
  // Nothing is watched: whatever a stack holds, known or not, is all the same.
  bool is_empty() const { return parts_.empty() && images_.empty(); }
  // FindActivity() of the set. On the stack of whoever asks, code of
  // Options::images does not count: the caller may well be in one.
  Activity FindOn(const StackSnapshot& stack) const {
    return FindActivity(stack, set_);
  }
  Activity FindOnOwn(const StackSnapshot& stack) const {
    return FindActivity(stack, set_, first_image());
  }
  bool IsImage(const Activity& activity) const {
    return activity.kind == ActivityKind::kActive &&
           activity.function >= first_image();
  }
  absl::Span<const Function> functions() const { return functions_; }

  // "shop::Price(int)"; empty if the activity is of an image or of nothing.
  std::string NameOf(const Activity& activity) const;

  // "quiescent", "unknown: <why>", or
  // "active: shop::Price(int) at pc 0x..., frame 2", where it is so with
  // ", inlined into shop::Total()" or ", in its version shop::NewPrice(int)";
  // of an image "active: code of /lib/shop.so at pc 0x..., frame 2, of which
  // not all functions are known: <why>".
  std::string Describe(const Activity& activity) const;

 private:
  // Numbers from this one on are of Options::images.
  int first_image() const {
    return static_cast<int>(functions_.size() + inlined_.size());
  }

  // Where a stretch of code comes from.
  struct Part {
    CodeRange range;
    int function;
    Function version;  // the function itself or what it was redirected to
    Function into;     // where the code is: `version`, or what holds a copy
  };

  WatchedFunctions(std::vector<Function> functions,
                   std::vector<std::string> inlined,
                   std::vector<UnknownImage> images, WipedVector<Part> parts);

  std::vector<Function> functions_;
  std::vector<std::string> inlined_;  // names, in the order of the options
  std::vector<UnknownImage> images_;
  WipedVector<Part> parts_;
  FunctionSet set_;
};

}  // namespace instar

#endif  // INSTAR_STACK_FUNCTION_SET_H_
