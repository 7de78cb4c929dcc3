// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Replaces one running activation of a function half way: a new function takes
// over with what the old one had, and their caller sees an ordinary return.
//
//   void FillList(std::vector<int>& list, int size) {
//     int next = 0;
//     ExposedValue expose_list("list", list);
//     ExposedValue expose_next("next", next);
//     for (; next < size; ++next) { list.push_back(next); Progress(); }
//   }
//
//   struct State { std::vector<int>* list; int next; };
//   void FillRest(State state);                       // the new version
//
//   // On the thread that runs FillList, in a function that it has called:
//   absl::Status refused = ReplaceActivation(
//       &FillList, &FillRest,
//       [](StackBounds frame) -> absl::StatusOr<State> {
//         INSTAR_ASSIGN_OR_RETURN(
//             auto* list, FindExposed<std::vector<int>>("list", frame));
//         INSTAR_ASSIGN_OR_RETURN(int next, ReadExposed<int>("next", frame));
//         return State{list, next};
//       });
//
// What happens: the innermost activation of the function on the calling
// thread's stack is found and everything is checked; `capture` is called with
// the memory of that activation's frame and makes the state; the frames above
// and the activation itself are unwound, their destructors run; the new
// function runs in the place of the old activation, with the old one's return
// address, on its caller's registers. Its result is what the caller gets.
// ReplaceActivation() returns only if it refuses, and then nothing has changed.
//
// (PyMoult 2's rebootFunction; UpStare's stack reconstruction, confined to one
// function. A whole thread: updates/reboot_thread.h.)
//
// The state is moved to the heap before anything is unwound and destroyed when
// the new function returns. It must not refer to variables of the activation,
// or of frames above it, since these are gone when the new function starts.
//
// Errors, all before anything is changed:
//   NotFound            no activation on the stack that the caller runs on;
//                       one that waits in another continulet of the thread does
//                       not count
//   FailedPrecondition  a frame on the way cannot be unwound (a destructor, a
//                       noexcept function), or may swallow the unwinding in a
//                       catch (...) (see ReplaceActivationOptions); the return
//                       slot is part of what would be unwound
//   Unavailable         the stack could not be walked reliably: why, and where
//   whatever `capture` answers
// At another moment the same call may succeed.
//
// Results: of a function that returns in memory (a class of more than 16 bytes,
// or one that is not trivially copyable), the caller has passed the address of
// the result. No compiler says where it is kept. A function that returns a
// local variable by name builds it there; if it exposes that variable,
// `capture` can find it, and hands it on in its state: see ReturnSlot. Without
// it such a function is refused when the program is compiled. What the variable
// held has been destroyed by then, so `capture` moves it into the state.
// Vectors (__m256) and complex long doubles are not supported as results, nor
// are packed classes.
//
// Exceptions: what the new function throws arrives at the old one's caller.
//
// Threads: the calling thread's own stack. Not in a signal handler. The unwound
// functions do not need to have been compiled in any special way, but must not
// have been inlined into each other's callers: an inlined copy is part of
// another function.

#ifndef INSTAR_UPDATES_MECHANISMS_REPLACE_ACTIVATION_H_
#define INSTAR_UPDATES_MECHANISMS_REPLACE_ACTIVATION_H_

#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status_macros.h"
#include "code/symbols/function.h"
#include "stack/stack_snapshot.h"
#include "stack/stack_walker.h"
#include "stack/unwind_safety.h"

namespace instar {

struct ReplaceActivationOptions {
  // Go through frames that have a catch (...). Most rethrow what they catch,
  // and nothing comes of it. If one keeps it, the activation is not replaced,
  // and its function goes on behind that handler; the state is destroyed.
  bool pass_catch_all = false;
  // Unwind frames of C, too, which release nothing (as RebootOptions::through_c
  // of threads/update_request.h).
  bool pass_c = false;
};

// The address at which the caller of an activation awaits its result.
template <typename R>
struct ReturnSlot {
  R* address;
};

namespace updates_internal {

template <typename R>
constexpr bool ReturnsInMemory() {
  if constexpr (std::is_class_v<R> || std::is_union_v<R>) {
    return sizeof(R) > 16 || !std::is_trivially_destructible_v<R> ||
           (std::is_copy_constructible_v<R> &&
            !std::is_trivially_copy_constructible_v<R>) ||
           (std::is_move_constructible_v<R> &&
            !std::is_trivially_move_constructible_v<R>);
  } else {
    return false;
  }
}

}  // namespace updates_internal

// Whether the caller of a function that returns an R passes the address of the
// result (psABI, 3.2.3; Itanium C++ ABI, 3.1.3). The state for such a function
// has a member `ReturnSlot<R> return_slot`.
template <typename R>
inline constexpr bool kReturnsInMemory = updates_internal::ReturnsInMemory<R>();

namespace updates_internal {

// An activation that can be replaced: what has been checked.
struct Activation {
  std::uintptr_t cfa = 0;  // canonical frame address: where its caller's begins
  StackBounds frame;       // from its stack pointer to there
};

// Looks on the stack that the caller runs on.
absl::StatusOr<Activation> FindActivation(
    const Function& function, const ReplaceActivationOptions& options);

// The same of any stack that stands still; allocates nothing and takes no lock.
// Frames of C are known after PrepareToFindCFrames().
struct ActivationSearch {
  enum class End {
    kFound,
    kNotActive,
    kNoCaller,
    kUnknown,   // `walk`
    kThroughC,  // `frame`
    kUnsafe,    // `safety`
    kCatchAll,  // `safety`
  };
  End end = End::kNotActive;
  Activation activation;
  WalkResult walk;
  UnwindSafety safety;
  Frame frame = {};
};
ActivationSearch SearchActivation(const StackSnapshot& stack,
                                  const Function& function,
                                  const ReplaceActivationOptions& options);
// Why none was found; looks for names.
absl::Status Explain(const ActivationSearch& search, const Function& function);

// What goes on in the place of an activation: enter(first), or enter(slot,
// first) if there is a return slot.
struct Successor {
  void (*enter)();
  void* return_slot;
  void* state;
  void (*drop)(void* state);  // if a handler has swallowed the unwinding
};

absl::Status CheckReturnSlot(const Activation& activation,
                             const StackBounds& stack, const void* slot);

[[noreturn]] void UnwindAndEnter(const Activation& activation,
                                 const Successor& successor);

template <typename R, typename State>
struct Takeover {
  R (*function)(State);
  State state;

  // Jumped to with the stack and the return address of the activation.
  static R Enter(Takeover* self) {
    const std::unique_ptr<Takeover> owner(self);
    return self->function(std::move(self->state));
  }
  static void Drop(void* self) { delete static_cast<Takeover*>(self); }
};

template <typename State, typename = void>
inline constexpr bool kHasReturnSlot = false;
template <typename State>
inline constexpr bool
    kHasReturnSlot<State, std::void_t<decltype(State::return_slot)>> = true;

// What takes over from an activation on this stack, with what was captured.
template <typename R, typename State, typename Capture>
absl::StatusOr<Successor> MakeSuccessor(R (*new_function)(State),
                                        Capture& capture,
                                        const Activation& activation,
                                        const StackBounds& stack) {
  using Plain = std::decay_t<State>;
  static_assert(std::is_same_v<State, Plain>,
                "the new function takes its state by value: what the old "
                "activation held is gone when it starts");
  static_assert(std::is_void_v<R> || std::is_scalar_v<R> ||
                    std::is_reference_v<R> || std::is_class_v<R> ||
                    std::is_union_v<R>,
                "results of this type are not supported");
  static_assert(!kReturnsInMemory<R> || kHasReturnSlot<State>,
                "the function returns in memory: its new version needs a state "
                "with a member ReturnSlot<R> return_slot");
  absl::StatusOr<State> state =
      capture(static_cast<const StackBounds&>(activation.frame));
  INSTAR_RETURN_IF_ERROR(state.status());
  void* slot = nullptr;
  if constexpr (kReturnsInMemory<R>) {
    static_assert(std::is_same_v<decltype(State::return_slot), ReturnSlot<R>>,
                  "the slot is for another type than the function returns");
    slot = state->return_slot.address;
    INSTAR_RETURN_IF_ERROR(CheckReturnSlot(activation, stack, slot));
  }
  using Over = Takeover<R, State>;
  auto* const over = new Over{new_function, *std::move(state)};
  return Successor{reinterpret_cast<void (*)()>(&Over::Enter), slot, over,
                   &Over::Drop};
}

template <typename R, typename State, typename Capture>
absl::Status Replace(const absl::StatusOr<Function>& function,
                     R (*new_function)(State), Capture&& capture,
                     const ReplaceActivationOptions& options) {
  INSTAR_RETURN_IF_ERROR(function.status());
  INSTAR_ASSIGN_OR_RETURN(const Activation activation,
                          FindActivation(*function, options));
  INSTAR_ASSIGN_OR_RETURN(
      const Successor successor,
      (MakeSuccessor<R, State>(new_function, capture, activation,
                               StackOfCaller())));
  UnwindAndEnter(activation, successor);
}

}  // namespace updates_internal

// `capture` is called as absl::StatusOr<State> capture(StackBounds frame); give
// `frame` to FindExposed() to find what the activation itself exposes.
template <typename R, typename... A, typename State, typename Capture>
absl::Status ReplaceActivation(
    R (*function)(A...), R (*new_function)(State), Capture&& capture,
    const ReplaceActivationOptions& options = ReplaceActivationOptions()) {
  return updates_internal::Replace<R, State>(
      Function::Of(function), new_function, std::forward<Capture>(capture),
      options);
}

// A member function; expose `*this` if the new function needs the object.
template <typename R, typename C, typename... A, typename State,
          typename Capture>
absl::Status ReplaceActivation(
    R (C::*function)(A...), R (*new_function)(State), Capture&& capture,
    const ReplaceActivationOptions& options = ReplaceActivationOptions()) {
  return updates_internal::Replace<R, State>(
      Function::Of(function), new_function, std::forward<Capture>(capture),
      options);
}
template <typename R, typename C, typename... A, typename State,
          typename Capture>
absl::Status ReplaceActivation(
    R (C::*function)(A...) const, R (*new_function)(State), Capture&& capture,
    const ReplaceActivationOptions& options = ReplaceActivationOptions()) {
  return updates_internal::Replace<R, State>(
      Function::Of(function), new_function, std::forward<Capture>(capture),
      options);
}

// A noexcept function cannot be unwound.
template <typename R, typename... A, typename State, typename Capture>
absl::Status ReplaceActivation(R (*function)(A...) noexcept,
                               R (*new_function)(State), Capture&& capture,
                               const ReplaceActivationOptions& options =
                                   ReplaceActivationOptions()) = delete;

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_REPLACE_ACTIVATION_H_
