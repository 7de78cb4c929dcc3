// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a rebooted thread goes on with: a callable, or MainWith() values of the
// stack that it leaves.

#ifndef INSTAR_UPDATES_MECHANISMS_THREAD_MAIN_H_
#define INSTAR_UPDATES_MECHANISMS_THREAD_MAIN_H_

#include <cstddef>
#include <functional>
#include <type_traits>
#include <utility>

#include "absl/status/statusor.h"
#include "threads/rendezvous.h"
#include "threads/update_request.h"
#include "updates/mechanisms/internal/empty_callable.h"

namespace instar {

class ThreadMain {
 public:
  using Function = std::function<void()>;

  ThreadMain() = default;        // none
  ThreadMain(std::nullptr_t) {}  // NOLINT: as std::function
  template <typename F,
            std::enable_if_t<std::is_invocable_v<std::decay_t<F>&> &&
                                 !std::is_same_v<std::decay_t<F>, ThreadMain>,
                             int> = 0>
  ThreadMain(F&& main) {  // NOLINT: a callable is one
    Function function(std::forward<F>(main));
    if (function == nullptr) return;  // as an empty std::function of any type
    make_ = [function = std::move(function)](
                const HeldThread&) -> absl::StatusOr<Function> {
      return function;
    };
  }

  // False also if what it was made of is empty.
  explicit operator bool() const { return make_ != nullptr; }

  // The same, with these options for the reboot.
  ThreadMain With(RebootOptions options) const {
    ThreadMain made = *this;
    made.options_ = options;
    return made;
  }

 private:
  template <typename Main, typename Capture>
  friend ThreadMain MainWith(Main new_main, Capture capture);
  friend class RebootTargets;

  // Called while the thread is held.
  std::function<absl::StatusOr<Function>(const HeldThread&)> make_;
  RebootOptions options_;
};

// new_main(State), with what absl::StatusOr<State> capture(const HeldThread&)
// answers. FindExposed() and ReadExposed() (stack/exposed_values.h) find, in
// the capture, what the held thread's functions expose. It copies: what the
// values refer to on the old stack is gone when the new function starts.
// NotFound means not yet, since the function that exposes a value may not have
// begun: it is said with the nearest names. Another error fails the update.
// State must be copyable.
template <typename Main, typename Capture>
ThreadMain MainWith(Main new_main, Capture capture) {
  ThreadMain made;
  if (updates_internal::IsEmpty(new_main) ||
      updates_internal::IsEmpty(capture)) {
    return made;
  }
  made.make_ = [new_main = std::move(new_main),
                capture = std::move(capture)](const HeldThread& thread) mutable
      -> absl::StatusOr<ThreadMain::Function> {
    auto state = capture(thread);
    if (!state.ok()) return state.status();
    return ThreadMain::Function([new_main, state = *std::move(state)] {
      std::invoke(new_main, state);
    });
  };
  return made;
}

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_THREAD_MAIN_H_
