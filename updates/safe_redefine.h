// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Redefines functions once they are on no stack: the safe redefinition of
// PyMoult (HotSWUP'13), section 2.2, as in Opus and Ksplice.
//
//   SetUpdateFunction(thread, SafeRedefine(&DoCommand, &NewDoCommand))
//       .Trigger();
//
//   // Several that switch together, and can be taken back:
//   SafeRedefinition update(Redefinitions()
//                               .Add(&Price, &NewPrice)
//                               .Add(&Site::Render, &NewRender)
//                               .AddNamed("shop::Total(int)", &NewTotal)
//                               .Add(discount_slot, &NewDiscount),
//                           Stacks::kAllThreads);
//   INSTAR_RETURN_IF_ERROR(update.Prepare());
//   Attempt attempt = update.Apply();          // from any thread, at any time
//   ...
//   attempt = update.Undo();
//
// An attempt looks at the stacks (updates/quiescence/when_quiescent.h says
// which, and what that costs) and redirects all the functions, or answers "not
// yet" with the function, the thread and the depth, having changed nothing.
// Activations that are looked for are those of the functions, of their inlined
// copies, and of every version that they were ever redirected to
// (stack/function_set.h); so a version that is being replaced, or undone, must
// be quiescent, too.
//
// A slot (code/redefinable.h) is redefined like an entry, and switches together
// with the others: then what it leads to, and all that it ever led to, must be
// on no stack. Forced quiescence is not for slots, which have no entry.
//
// Types are checked when the program is compiled: a function can be redefined
// by one of the same type, a member function by one of the same class and type
// or by a function that takes the object first. Of a function that is given by
// name, the parameter types are compared at run time; C++ symbols do not hold
// the type of the result, so that remains unchecked.
//
// Lifetime: a SafeRedefinition is a handle; copies are the same redefinition.
// Dropping it leaves it in effect. The new functions stay where they are.
//
// Threads: everything may be called from any thread, not in signal handlers.
// Given to several threads as update function, it is applied by the first at
// whose point it can be; the others find it done.
//
// Errors: those of code/function_entry.h and stack/function_set.h, as "failed",
// or from Prepare() before any thread is asked.
//
//   state    | Prepare() | Apply()                | Undo()
//   ---------+-----------+------------------------+--------------------------
//   new      | prepared  | as prepared            | done, nothing happens
//   prepared | -         | applied or not yet     | done, nothing happens
//   applied  | -         | done, nothing happens  | prepared or not yet
// After an error the state is as before.
//
// Attempts that were "not yet" keep other threads stopped for at most a tenth
// of any second with kAllThreads, and a fiftieth with kControlledThreads: when
// that is used up, Apply() and Undo() stop nobody for a while, and answer as
// the attempt before. Threads that do not stop in time are given longer by the
// next attempt, and the pauses grow with it.
//
// Forced quiescence: functions that are active on some stack whenever one looks
// are made quiescent. With `forced_quiescence`, an attempt that finds one
// active lets new calls wait at the entries, those of threads that are inside
// of one pass, and looks again until all have drained
// (updates/quiescence/forced_quiescence.h says what waits, and what passes). At
// the limit it is given up, everybody goes on, and the answer is "not yet".
// Whatever the outcome, the calls that have waited go on. It needs
// kControlledThreads or kAllThreads, and is not tried while the calling thread
// itself is inside of a function, which cannot drain then.

#ifndef INSTAR_UPDATES_SAFE_REDEFINE_H_
#define INSTAR_UPDATES_SAFE_REDEFINE_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "code/redefinable.h"
#include "threads/attempt.h"
#include "threads/update_request.h"
#include "updates/quiescence/when_quiescent.h"
#include "updates/redefinitions.h"

namespace instar {

struct SafeRedefineOptions {
  Stacks stacks = Stacks::kThisThread;
  // Copies that were inlined into functions which are not redefined with it go
  // on as they are, and are not looked for where they are not known.
  bool ignore_inlined_copies = false;
  // With kControlledThreads: for how long an attempt waits for the threads.
  std::chrono::nanoseconds rendezvous_limit = kRendezvousLimit;
  // For how long new calls may be made to wait; 0: they are not.
  std::chrono::nanoseconds forced_quiescence{0};

  SafeRedefineOptions() = default;
  SafeRedefineOptions(Stacks s) : stacks(s) {}  // NOLINT: usually all there is
};

class SafeRedefinition {
 public:
  explicit SafeRedefinition(Redefinitions redefinitions,
                            SafeRedefineOptions options = {});

  // Checks everything that can be checked and allocates, so that errors show
  // before a thread is asked. Called by Apply() if it was not.
  absl::Status Prepare();

  Attempt Apply();
  Attempt Undo();
  bool is_applied() const;
  // For how long all attempts together have kept other threads stopped.
  std::chrono::nanoseconds time_stopped() const;

  // As an update function: Apply() in the thread, at its update point.
  Attempt operator()(UpdateContext&) { return Apply(); }
  // The update function that takes it back.
  UpdateFunction UndoFunction() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// One function.
template <typename F, std::enable_if_t<std::is_function_v<F>, int> = 0>
SafeRedefinition SafeRedefine(F* from, std::common_type_t<F*> to,
                              SafeRedefineOptions options = {}) {
  return SafeRedefinition(Redefinitions().Add(from, to), options);
}
// The paper's safe_redefine("fun", new_fun, ...).
template <typename F, std::enable_if_t<std::is_function_v<F>, int> = 0>
SafeRedefinition SafeRedefine(absl::string_view from, F* to,
                              SafeRedefineOptions options = {}) {
  return SafeRedefinition(Redefinitions().AddNamed(from, to), options);
}
template <typename R, typename... A>
SafeRedefinition SafeRedefine(Redefinable<R(A...)>& slot,
                              typename Redefinable<R(A...)>::Function to,
                              SafeRedefineOptions options = {}) {
  return SafeRedefinition(Redefinitions().Add(slot, to), options);
}
template <typename C, typename F, typename To,
          std::enable_if_t<std::is_function_v<F>, int> = 0>
SafeRedefinition SafeRedefine(F C::*from, To to,
                              SafeRedefineOptions options = {}) {
  return SafeRedefinition(Redefinitions().Add(from, to), options);
}

}  // namespace instar

#endif  // INSTAR_UPDATES_SAFE_REDEFINE_H_
