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
//   - It cannot be undone: what the new function has done since is not known. An
//     undo of the plan is refused (CanUndo()).
// In an update function of one thread, call ReplaceActivation() in a function
// that the thread calls; this one is refused there.

#ifndef INSTAR_UPDATES_MECHANISMS_REPLACE_WHEN_HELD_H_
#define INSTAR_UPDATES_MECHANISMS_REPLACE_WHEN_HELD_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "code/symbols/function.h"
#include "stack/stack_snapshot.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/mechanisms/replace_activation.h"

namespace instar {

namespace updates_internal {

using SuccessorMaker = std::function<absl::StatusOr<Successor>(
    const Activation& activation, const StackBounds& stack)>;

std::shared_ptr<Mechanism> MakeReplacement(
    std::string thread_name, absl::StatusOr<Function> function,
    SuccessorMaker make, const ReplaceActivationOptions& options);

template <typename R, typename State, typename Capture>
std::shared_ptr<Mechanism> MakeReplacementOf(
    std::string thread_name, absl::StatusOr<Function> function,
    R (*new_function)(State), Capture capture,
    const ReplaceActivationOptions& options) {
  return MakeReplacement(
      std::move(thread_name), std::move(function),
      [new_function, capture = std::move(capture)](
          const Activation& activation, const StackBounds& stack) mutable {
        return MakeSuccessor<R, State>(new_function, capture, activation,
                                       stack);
      },
      options);
}

}  // namespace updates_internal

template <typename R, typename... A, typename State, typename Capture>
std::shared_ptr<Mechanism> ReplaceWhenHeld(
    std::string thread_name, R (*function)(A...), R (*new_function)(State),
    Capture capture,
    const ReplaceActivationOptions& options = ReplaceActivationOptions()) {
  return updates_internal::MakeReplacementOf<R, State>(
      std::move(thread_name), Function::Of(function), new_function,
      std::move(capture), options);
}
template <typename R, typename C, typename... A, typename State,
          typename Capture>
std::shared_ptr<Mechanism> ReplaceWhenHeld(
    std::string thread_name, R (C::*function)(A...), R (*new_function)(State),
    Capture capture,
    const ReplaceActivationOptions& options = ReplaceActivationOptions()) {
  return updates_internal::MakeReplacementOf<R, State>(
      std::move(thread_name), Function::Of(function), new_function,
      std::move(capture), options);
}
template <typename R, typename C, typename... A, typename State,
          typename Capture>
std::shared_ptr<Mechanism> ReplaceWhenHeld(
    std::string thread_name, R (C::*function)(A...) const,
    R (*new_function)(State), Capture capture,
    const ReplaceActivationOptions& options = ReplaceActivationOptions()) {
  return updates_internal::MakeReplacementOf<R, State>(
      std::move(thread_name), Function::Of(function), new_function,
      std::move(capture), options);
}

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_REPLACE_WHEN_HELD_H_
