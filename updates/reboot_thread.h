// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Ends the function of a thread and starts another on the same operating-system
// thread: the thread reboot of PyMoult (HotSWUP'13), section 2.2, as in ReCaml.
// It is UpdateContext::Reboot() (threads/update_request.h) with arguments, for
// one thread of whatever name, and has no undo; code that has no other updates
// needs nothing of the schedules for it. In an update that is checked, undone,
// or done by a schedule, it is a mechanism: Reboot() of
// updates/mechanisms/reboot.h, which calls the same in an update function.
//
//   SetUpdateFunction(thread, RebootThread(&NewMain, port),
//                     RebootUpdateOptions()).Trigger();
//
//   // With values from the old stack:
//   SetUpdateFunction(
//       thread,
//       RebootThreadWith(&NewMain, [](UpdateContext&) {
//         return ReadExposed<int>("listener");
//       }),
//       RebootUpdateOptions()).Trigger();  // NewMain(int listener)
//
// The update function answers "not yet" while the stack cannot be unwound from
// the update point (a noexcept frame, a destructor, a paused continulet that
// could not be cancelled), and names the frame. When it answers done, the stack
// is unwound to the thread's base, all destructors run, and the new function
// starts. What a catch (...) on the way does is told in
// threads/update_request.h.
//
// The capture runs in the thread, before anything is unwound, each time the
// update is tried: it copies. What the values refer to on the old stack is gone
// when the new function starts. If it finds nothing of that name (NotFound),
// the answer is "not yet", since the function that exposes it may not have
// begun; another error fails the update.
//
// Through frames of C (qsort(), an event loop of a C library) a thread is not
// rebooted: an update function that knows better calls context.Reboot(main,
// options) with RebootOptions::through_c itself.
//
// With RebootUpdateOptions() a thread that waits in a blocking region is got
// out of it. Without, the reboot waits for the call to return.
//
// Arguments are copied or moved as by std::thread, and copied once more for
// each attempt, so they must be copyable. A function that is empty (a null
// pointer, an empty std::function) fails the update. Threads: as
// SetUpdateFunction().

#ifndef INSTAR_UPDATES_REBOOT_THREAD_H_
#define INSTAR_UPDATES_REBOOT_THREAD_H_

#include <functional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "threads/attempt.h"
#include "threads/update_request.h"
#include "updates/mechanisms/internal/empty_callable.h"

namespace instar {

namespace updates_internal {

inline UpdateFunction FailedReboot() {
  return [](UpdateContext&) {
    return Attempt::Failed(absl::InvalidArgumentError(
        "the thread is to be rebooted into a function that is empty"));
  };
}

}  // namespace updates_internal

// How a reboot is usually asked for.
inline UpdateOptions RebootUpdateOptions() {
  UpdateOptions options;
  options.interrupt_blocking_calls = true;
  return options;
}

template <typename Main, typename... Args>
UpdateFunction RebootThread(Main new_main, Args... args) {
  static_assert(std::is_invocable_v<std::decay_t<Main>&, Args...>,
                "the new function does not take these arguments");
  if (updates_internal::IsEmpty(new_main)) {
    return updates_internal::FailedReboot();
  }
  return [new_main = std::move(new_main),
          arguments =
              std::tuple<Args...>(std::move(args)...)](UpdateContext& context) {
    return context.Reboot([new_main, arguments]() mutable {
      std::apply(new_main, std::move(arguments));
    });
  };
}

// `capture` is called as absl::StatusOr<State> capture(UpdateContext&), and the
// new function as new_main(State).
template <typename Main, typename Capture>
UpdateFunction RebootThreadWith(Main new_main, Capture capture) {
  if (updates_internal::IsEmpty(new_main) ||
      updates_internal::IsEmpty(capture)) {
    return updates_internal::FailedReboot();
  }
  return [new_main = std::move(new_main),
          capture = std::move(capture)](UpdateContext& context) mutable {
    auto state = capture(context);
    if (absl::IsNotFound(state.status())) {
      return Attempt::NotYet(std::string(state.status().message()));
    }
    if (!state.ok()) return Attempt::Failed(state.status());
    return context.Reboot([new_main, state = *std::move(state)]() mutable {
      std::invoke(new_main, std::move(state));
    });
  };
}

}  // namespace instar

#endif  // INSTAR_UPDATES_REBOOT_THREAD_H_
