// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Continulets: computations that pause and are resumed, as in PyMoult
// (HotSWUP'13), section 2.1, figure 2, and in PyPy, where they come from.
//
//   Continulet<std::string(int)> parser("parser", [](auto& self, int first) {
//     int second = self.Switch("got " + std::to_string(first));
//     return "sum " + std::to_string(first + second);
//   });
//   parser.Switch(1);  // "got 1": starts the body, which pauses
//   parser.Switch(2);  // "sum 3": resumes the body, which ends
//
// A continulet has a body, a callable that runs on a stack of its own.
// Continulet<Out(In)> is like a function that is called with an In and returns
// an Out, except that its body goes on where it was. Switch() from outside
// passes an In and waits for an Out; Switch() of `self`, inside, passes an Out
// and waits for an In. Either may be void, a reference, or a type that can only
// be moved.
//
// The five rules of figure 2, and what the figure leaves open:
//
//   state    | Switch() outside | Switch() inside | Throw()     | destroyed
//   ---------+------------------+-----------------+-------------+--------------
//   new      | running (1)      | -               | finished;   | body is
//            |                  |                 | thrown at   | destroyed,
//            |                  |                 | the caller  | never ran
//   running  | caller's error   | paused (2)      | caller's    | caller's
//            |                  |                 | error       | error
//   paused   | running (3)      | caller's error  | running;    | body is
//            |                  |                 | thrown in   | cancelled (5)
//            |                  |                 | the body    |
//   finished | caller's error   | -               | caller's    | nothing
//            | (4)              |                 | error       | happens
//
//   (1) the first switch starts the body on its own stack;
//   (2) a switch inside pauses it and resumes whoever switched in;
//   (3) the next switch resumes it; when the body returns, what it returns
//       arrives at whoever switched in, and the continulet is finished;
//   (4) it cannot be switched to any more;
//   (5) if its owner goes away first, it is cancelled: its stack is unwound, so
//       that the destructors of everything on it run.
//
// A caller's error ends the program with a message that names the continulet (a
// handle that was moved from has no name to give).
//
// Exceptions: one that leaves the body arrives at whoever switched in, and the
// continulet is finished. Throw() raises one in the body, at the Switch() where
// it is paused. Each continulet has its own exceptions in flight: Switch() may
// be called within a `catch` block, inside and outside.
//
// Cancellation throws a ContinuletCancelled in the body. User code lets it
// pass. A `catch (...)` that swallows it is noticed: when the body switches out
// instead of ending, it is thrown again, and what happened is reported. A body
// that is paused in a function that no exception may leave (a destructor, a
// noexcept function) cannot be unwound: the program ends with a message that
// names the continulet and the function.
//
// A thread that ends in a body, by pthread_exit() or pthread_cancel(), has all
// its stacks unwound, from the body outwards: the continulet is finished, and
// the unwinding goes on at whoever switched in. As in any function, it passes
// no noexcept function and no destructor: std::terminate().
//
// Threads: a continulet belongs to the thread that first switches to it. Before
// that and when it is finished, it may be handed to another thread; in between,
// the handle may be moved within its thread only, and switching to it, throwing
// into it or destroying it on another thread is a caller's error (checked). The
// reason is not this library but the body: compilers keep addresses of
// thread-local variables across a call, and a lock belongs to the thread that
// took it. Thread-locals read after a switch have their current values. A
// thread that ends leaves nothing paused behind: whoever still has a handle
// then can neither switch to it nor destroy it. After fork() the child has the
// continulets of the thread that forked. Nothing here may be used in a signal
// handler, save IsContinuletBase().
//
// A switch takes no lock, allocates nothing and makes no system call. It leaves
// alone what belongs to the thread: thread-locals, the signal mask, and the
// floating-point environment (rounding mode, exception flags), which has thread
// storage duration in C++ ([cfenv.syn]). A body that changes the rounding mode
// sets it back before it switches, as a function does before it returns.
//
// Stacks (continuation/stack_memory.h) have kDefaultStackSize bytes unless
// another size is given; the body's callable and about 300 bytes of bookkeeping
// lie at their end. A stack that overflows hits a guard of 64 KiB, and the
// program ends with a message that names the continulet (SIGSEGV, through a
// handler that passes on what is not its own). A single frame larger than the
// guard can jump over it: compile bodies that have such frames with
// -fstack-clash-protection.

#ifndef INSTAR_CONTINUATION_CONTINULET_H_
#define INSTAR_CONTINUATION_CONTINULET_H_

#include <cstddef>
#include <exception>
#include <functional>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/base/optimization.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "continuation/cancellation.h"
#include "continuation/internal/control_block.h"
#include "continuation/internal/parcel.h"
#include "continuation/paused_computations.h"  // IWYU pragma: export
#include "continuation/paused_context.h"
#include "continuation/stack_memory.h"

namespace instar {

template <typename Signature>
class Continulet;

// The body's side of a continulet. Lives as long as the body runs and is used
// by the body alone: one that waits for another continulet cannot be switched
// out of by that one's body.
template <typename Signature>
class ContinuletSelf;

template <typename Out, typename... In>
class ContinuletSelf<Out(In...)> {
 public:
  ContinuletSelf(const ContinuletSelf&) = delete;
  ContinuletSelf& operator=(const ContinuletSelf&) = delete;

  // Pauses the body and passes an Out, made from `value` (nothing if Out is
  // void), to whoever switched in. Returns what the next switch passes.
  template <typename... Value>
  ABSL_ATTRIBUTE_ALWAYS_INLINE decltype(auto) Switch(Value&&... value) {
    continuation_internal::Parcel<Out> parcel(std::forward<Value>(value)...);
    continuation_internal::RequireCurrent(control_);
    continuation_internal::thread_state.transfer = parcel.address();
    continuation_internal::Leave(control_);
    return Receive();
  }

  // Pauses the body and goes on with `to`, which is new or paused, passing it
  // an In made from `value`. Whoever switched to this continulet waits for `to`
  // from now on. (PyPy: switch(value, to=other).) Returns what the next switch
  // to this continulet passes.
  template <typename... Value>
  ABSL_ATTRIBUTE_ALWAYS_INLINE decltype(auto) SwitchTo(
      Continulet<Out(In...)>& to, Value&&... value) {
    // First, for it may throw: then nothing has happened.
    Inward parcel(std::forward<Value>(value)...);
    continuation_internal::RequireCurrent(control_);
    continuation_internal::ControlBlock* const other = to.Get();
    continuation_internal::RequireResumable(other, "switched to");
    if (ABSL_PREDICT_FALSE(control_->cancelling)) {
      continuation_internal::FailSwitch(control_, "switched away from");
    }
    continuation_internal::thread_state.transfer = parcel.address();
    continuation_internal::Pass(control_, other);
    return Receive();
  }

  absl::string_view name() const { return control_->name_view(); }

 private:
  friend class Continulet<Out(In...)>;
  using Inward = continuation_internal::Parcel<
      typename continuation_internal::OneOrVoid<In...>::type>;

  explicit ContinuletSelf(continuation_internal::ControlBlock* control)
      : control_(control) {}

  ABSL_ATTRIBUTE_ALWAYS_INLINE static decltype(auto) Receive() {
    if (ABSL_PREDICT_FALSE(continuation_internal::thread_state.signal !=
                           continuation_internal::Signal::kValue)) {
      continuation_internal::ThrowArrived();
    }
    return Inward::Open(continuation_internal::thread_state.transfer);
  }

  continuation_internal::ControlBlock* control_;
};

template <typename Out, typename... In>
class Continulet<Out(In...)> {
 public:
  using Self = ContinuletSelf<Out(In...)>;

  // `body` is called as Out body(Self& self, In first). `name` (its first 39
  // bytes are kept) appears in messages. `stack_size` is in bytes. Fatal if the
  // system gives no stack; Make() reports that.
  template <typename Body>
  ABSL_ATTRIBUTE_ALWAYS_INLINE Continulet(
      absl::string_view name, Body&& body,
      std::size_t stack_size = kDefaultStackSize)
      : Continulet() {  // from here on the destructor runs if `body` throws
    StackMemory stack = StackMemory::TakeCached(stack_size);
    if (ABSL_PREDICT_FALSE(stack.empty())) {
      stack = continuation_internal::TakeStackOrDie(stack_size, name);
    }
    Construct(std::move(stack), name, std::forward<Body>(body));
  }

  // As the constructor, or RESOURCE_EXHAUSTED.
  template <typename Body>
  static absl::StatusOr<Continulet> Make(
      absl::string_view name, Body&& body,
      std::size_t stack_size = kDefaultStackSize) {
    absl::StatusOr<StackMemory> stack = StackMemory::Take(stack_size);
    if (!stack.ok()) return std::move(stack).status();
    Continulet made;
    made.Construct(*std::move(stack), name, std::forward<Body>(body));
    return made;
  }

  Continulet(Continulet&& other) noexcept
      : control_(std::exchange(other.control_, nullptr)) {}
  Continulet& operator=(Continulet&& other) noexcept {
    Continulet old(std::move(*this));
    control_ = std::exchange(other.control_, nullptr);
    return *this;
  }

  // Cancels the body if it is paused, and writes a warning to standard error if
  // it resisted.
  ABSL_ATTRIBUTE_ALWAYS_INLINE ~Continulet() {
    if (control_ != nullptr) continuation_internal::Release(control_);
  }

  // Starts or resumes the body, passing it an In made from `value` (nothing if
  // it takes none). Returns what the body passes when it pauses or ends, or
  // throws what it throws.
  template <typename... Value>
  ABSL_ATTRIBUTE_ALWAYS_INLINE Out Switch(Value&&... value) {
    // First, for it may throw: then nothing has happened.
    Inward parcel(std::forward<Value>(value)...);
    continuation_internal::ControlBlock* const c = Get();
    continuation_internal::RequireResumable(c, "switched to");
    continuation_internal::thread_state.transfer = parcel.address();
    continuation_internal::Enter(c);
    return Receive();
  }

  // Raises an exception in the paused body, at its Switch(), and then is as
  // Switch(). A new continulet finishes without having run, and the exception
  // is thrown at the caller.
  Out Throw(std::exception_ptr exception) {
    continuation_internal::EnterWithException(Get(), &exception);
    return Receive();
  }
  template <typename Exception>
  Out Throw(Exception exception) {
    return Throw(std::make_exception_ptr(std::move(exception)));
  }

  // Cancels the body now if it is paused; a new continulet finishes without
  // having run. Returns false if the body resisted: the cancellation was
  // swallowed on its way, or ended in another exception or in a return.
  bool Cancel() { return continuation_internal::Cancel(Get()); }

  // True until the body has ended (PyPy: is_pending()).
  bool is_pending() const { return !Get()->finished; }

  // True if the body has started and waits for a switch.
  bool is_paused() const {
    return Get()->resumable_by.load(std::memory_order_relaxed) != nullptr;
  }

  absl::string_view name() const { return Get()->name_view(); }

  // Where the body is paused, for a stack walker; nothing if it is not. Valid
  // until the next switch to it.
  std::optional<PausedContext> paused_context() const {
    if (!is_paused()) return std::nullopt;
    return continuation_internal::BodyContext(*Get());
  }

 private:
  friend Self;
  using Inward = typename Self::Inward;
  using Outward = continuation_internal::Parcel<Out>;

  Continulet() = default;

  ABSL_ATTRIBUTE_ALWAYS_INLINE continuation_internal::ControlBlock* Get()
      const {
    if (ABSL_PREDICT_FALSE(control_ == nullptr)) {
      continuation_internal::FailMovedFrom();
    }
    return control_;
  }

  template <typename Body>
  ABSL_ATTRIBUTE_ALWAYS_INLINE void Construct(StackMemory stack,
                                              absl::string_view name,
                                              Body&& body) {
    using Callable = std::decay_t<Body>;
    static_assert(sizeof(Callable) <= kMinimumStackSize / 4,
                  "the body captures too much to lie on its own stack");
    continuation_internal::ControlBlock* const c =
        continuation_internal::NewControlBlock(std::move(stack), name);
    control_ = c;
    c->callable = reinterpret_cast<void*>(
        (reinterpret_cast<std::uintptr_t>(c) - sizeof(Callable)) &
        ~(alignof(Callable) - 1));
    ::new (c->callable) Callable(std::forward<Body>(body));
    c->run = &Run<Callable>;
    c->destroy_callable = [](void* callable) {
      static_cast<Callable*>(callable)->~Callable();
    };
  }

  // Runs the body, on its own stack.
  template <typename Callable>
  static void Run(continuation_internal::ControlBlock* c) {
    Self self(c);
    using Result = std::invoke_result_t<Callable&, Self&, In...>;
    static_assert(
        !std::is_reference_v<Out> ||
            (std::is_reference_v<Result> &&
             continuation_internal::kBindsDirectly<Result, Out>),
        "the body returns a value, and a reference to it would be passed");
    auto call = [&]() -> Out {
      Callable& body = *static_cast<Callable*>(c->callable);
      if constexpr (sizeof...(In) == 0) {
        return static_cast<Out>(std::invoke(body, self));
      } else {
        return static_cast<Out>(std::invoke(
            body, self,
            Inward::Open(continuation_internal::thread_state.transfer)));
      }
    };
    // Nobody returns to this frame to destroy the result: Receive() does.
    alignas(Outward) unsigned char storage[sizeof(Outward)];
    auto* const result = ::new (static_cast<void*>(storage))
        Outward(continuation_internal::ResultOf(), call);
    if (c->cancelling) Outward::Destroy(result->address());
    continuation_internal::LeaveForGood(
        c, continuation_internal::Signal::kResult, result->address());
  }

  // Takes what arrived from a body.
  ABSL_ATTRIBUTE_ALWAYS_INLINE static Out Receive() {
    if (ABSL_PREDICT_TRUE(continuation_internal::thread_state.signal ==
                          continuation_internal::Signal::kValue)) {
      return Outward::Open(continuation_internal::thread_state.transfer);
    }
    return ReceiveLast();
  }

  static Out ReceiveLast() {
    if (continuation_internal::thread_state.signal !=
        continuation_internal::Signal::kResult) {
      continuation_internal::ThrowArrived();
    }
    continuation_internal::thread_state.signal =
        continuation_internal::Signal::kValue;
    struct Destroyer {
      ~Destroyer() { Outward::Destroy(address); }
      void* address;
    } result{continuation_internal::thread_state.transfer};
    return Outward::Open(result.address);
  }

  continuation_internal::ControlBlock* control_ = nullptr;
};

}  // namespace instar

#endif  // INSTAR_CONTINUATION_CONTINULET_H_
