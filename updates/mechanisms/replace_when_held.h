// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// On-stack replacement in a plan: running activations of a function in the
// threads of a name are replaced at the moment in which all else of the plan
// takes effect.
//
//   plan.Redefine(&FillList, &NewFillList);          // calls that begin later
//   plan.Add(ReplaceWhenHeld("worker", &FillList, &FillRest,
//                            [](StackBounds frame) -> absl::StatusOr<State> {
//     INSTAR_ASSIGN_OR_RETURN(
//         auto* list, FindExposed<std::vector<int>>("list", frame));
//     INSTAR_ASSIGN_OR_RETURN(int next, ReadExposed<int>("next", frame));
//     return State{list, next};
//   }));
//
// Functions, state, return slot and options are those of ReplaceActivation()
// (updates/mechanisms/replace_activation.h). Here:
//   - Each thread of the name in which the function is active has its innermost
//     activation replaced. There may be none.
//   - While the threads are held it is checked that each can be, and `capture`
//     is called, by whoever applies the plan, with what the thread exposes.
//     Then nothing can fail any more: each thread unwinds its own stack when it
//     goes on, before it does anything else there, and its new function begins.
//     What is unwound runs old destructors in the new version of all else, as
//     after a reboot. Where a catch (...) keeps the unwinding
//     (ReplaceActivationOptions::pass_catch_all) the activation is not replaced.
//   - The activation and what it has called do not count as active in the rest
//     of the plan, but its callers do.
//   - Not yet while a thread has the function active and is held elsewhere than
//     at an update point (in a blocking region, or in a system call), or cannot
//     be unwound from there: the frame is named. If `capture` answers NotFound,
//     too; other errors fail the plan.
//   - A later mechanism of the plan may fail: then the state is destroyed, and
//     the thread goes on as it was. So `capture` copies, and moves nothing.
//   - It cannot be undone, since what the new function has done is not known,
//     but to the author, who may say what takes its place then:
//
//   plan.Add(ReplaceWhenHeld("worker",
//                            {Replacement(&FillList, &FillRest, &Capture)},
//                            /*when_undone=*/
//                            {Replacement(&FillRest, &FillOldRest, &CaptureNew),
//                             Replacement(&NewFillList, &FillOldRest,
//                                         &CaptureNew)}));
//
// In each thread the first of a list is done whose function is active there; of
// others nothing is. An undo that finds none active has nothing to do: what had
// been replaced has returned meanwhile. Each time that one activation is
// replaced leaves a frame of some 50 bytes between it and its caller.
//
// As an update function (updates/thread_updates.h) it is done in its thread, at
// its own point: the captures are called by the thread itself, and the
// activation is replaced when its update function has returned. Those that are
// to follow it are tried at its next point. With Stacks::kControlledThreads, on
// another thread (ThreadUpdates::Start()), it is done as in a plan.

#ifndef INSTAR_UPDATES_MECHANISMS_REPLACE_WHEN_HELD_H_
#define INSTAR_UPDATES_MECHANISMS_REPLACE_WHEN_HELD_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "code/symbols/function.h"
#include "stack/stack_snapshot.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/mechanisms/replace_activation.h"

namespace instar {

namespace updates_internal {

using SuccessorMaker = std::function<absl::StatusOr<Successor>(
    const Activation& activation, const StackBounds& stack)>;
class ReplaceMechanism;

}  // namespace updates_internal

// A function whose activation is replaced, what goes on in its place, and what
// makes its state: absl::StatusOr<State> capture(StackBounds frame).
class Replacement {
 public:
  template <typename R, typename... A, typename State, typename Capture>
  Replacement(R (*function)(A...), R (*new_function)(State), Capture capture)
      : Replacement(Function::Of(function), new_function, std::move(capture)) {}
  template <typename R, typename C, typename... A, typename State,
            typename Capture>
  Replacement(R (C::*function)(A...), R (*new_function)(State), Capture capture)
      : Replacement(Function::Of(function), new_function, std::move(capture)) {}
  template <typename R, typename C, typename... A, typename State,
            typename Capture>
  Replacement(R (C::*function)(A...) const, R (*new_function)(State),
              Capture capture)
      : Replacement(Function::Of(function), new_function, std::move(capture)) {}

 private:
  friend class updates_internal::ReplaceMechanism;

  template <typename R, typename State, typename Capture>
  Replacement(absl::StatusOr<Function> function, R (*new_function)(State),
              Capture capture)
      : function_(std::move(function)),
        make_([new_function, capture = std::move(capture)](
                  const updates_internal::Activation& activation,
                  const StackBounds& stack) mutable {
          return updates_internal::MakeSuccessor<R, State>(
              new_function, capture, activation, stack);
        }) {}

  absl::StatusOr<Function> function_;
  updates_internal::SuccessorMaker make_;
};

std::shared_ptr<Mechanism> ReplaceWhenHeld(
    std::string thread_name, std::vector<Replacement> replacements,
    std::vector<Replacement> when_undone = {},
    const ReplaceActivationOptions& options = ReplaceActivationOptions());

// One, for good.
template <typename R, typename... A, typename State, typename Capture>
std::shared_ptr<Mechanism> ReplaceWhenHeld(
    std::string thread_name, R (*function)(A...), R (*new_function)(State),
    Capture capture,
    const ReplaceActivationOptions& options = ReplaceActivationOptions()) {
  return ReplaceWhenHeld(
      std::move(thread_name),
      {Replacement(function, new_function, std::move(capture))}, {}, options);
}
template <typename R, typename C, typename... A, typename State,
          typename Capture>
std::shared_ptr<Mechanism> ReplaceWhenHeld(
    std::string thread_name, R (C::*function)(A...), R (*new_function)(State),
    Capture capture,
    const ReplaceActivationOptions& options = ReplaceActivationOptions()) {
  return ReplaceWhenHeld(
      std::move(thread_name),
      {Replacement(function, new_function, std::move(capture))}, {}, options);
}
template <typename R, typename C, typename... A, typename State,
          typename Capture>
std::shared_ptr<Mechanism> ReplaceWhenHeld(
    std::string thread_name, R (C::*function)(A...) const,
    R (*new_function)(State), Capture capture,
    const ReplaceActivationOptions& options = ReplaceActivationOptions()) {
  return ReplaceWhenHeld(
      std::move(thread_name),
      {Replacement(function, new_function, std::move(capture))}, {}, options);
}

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_REPLACE_WHEN_HELD_H_
