// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A function that can be redefined without changing code: an atomic pointer to
// the current version and a call operator.
//
//   Redefinable<int(int)> price(&Price);
//   int p = price(3);
//
//   RedefinableRedirection redirection(price, &NewPrice);
//   redirection.Apply();
//   ...
//   redirection.Undo();
//
// It works where writing to text is forbidden, and on every processor. Only
// calls that go through it see a new version. Towards whoever redefines it is
// what code/function_entry.h is: prepared, applied and undone, the latest
// redirection in effect, one that is not the latest undone without effect on
// the others, Original() always callable.
//
// Lifetime: a Redefinable outlives its redirections. Functions of a loaded
// object must stay loaded. One at namespace scope is initialized by the
// compiler: what is initialized before it may call it.
//
// Threads: calls from any thread and signal handler, also during a
// redefinition. Redirections from any thread, under one lock for all, whose
// owner handles no signals, so that it cannot be stopped by one; not in signal
// handlers.
//
// A call jumps to what the pointer holds by one instruction, after its
// arguments are ready. So there is no moment at which a thread has looked up
// the version and has not begun it: who stops all threads
// (updates/quiescence/when_quiescent.h) and redefines the function knows that
// the old version begins no more. (Where it takes more than one instruction, as
// on arm64, the stack of a thread that is stopped between them cannot be
// walked, and whoever wants to is told to try again.)
//
// Memory ordering: a call loads the pointer with acquire order, Apply() and
// Undo() store it with release order: a thread that runs the new version sees
// what was done before Apply(). A call that happens after Apply() runs the new
// version; one at the same time runs the new or the one before.

#ifndef INSTAR_CODE_REDEFINABLE_H_
#define INSTAR_CODE_REDEFINABLE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"

namespace instar {

namespace code_internal {

using AnyFunction = void (*)();

// One redirection of one slot. In the slot's list while applied.
struct SlotLayer {
  AnyFunction target = nullptr;
  SlotLayer* below = nullptr;
};

// What a slot has led to at some time. The slot's, once it has.
struct PastSlotTarget {
  AnyFunction target;
  PastSlotTarget* next;
};

// The part that does not depend on the signature.
class RedefinableSlot {
 public:
  constexpr RedefinableSlot() = default;
  ~RedefinableSlot();
  RedefinableSlot(const RedefinableSlot&) = delete;
  RedefinableSlot& operator=(const RedefinableSlot&) = delete;

  // Whoever calls one of these first says what the original is; all say the
  // same. (It stands where it has its type, in a constant.)
  AnyFunction current(AnyFunction original) const {
    // Pairs with the store in Publish(), redefinable.cc: what was done before a
    // redefinition is seen by the version that it brought.
    return jump_.load(std::memory_order_acquire) == nullptr
               ? original
               : current_->load(std::memory_order_acquire);
  }
  // Jumps to it.
  AnyFunction jump(AnyFunction original) const {
    // Pairs with the store in TakePlace().
    AnyFunction jump = jump_.load(std::memory_order_acquire);
    if (__builtin_expect(jump == nullptr, 0)) jump = TakePlace(original);
#ifdef __SANITIZE_THREAD__
    // Which does not see the load of the jump.
    static_cast<void>(current(original));
#endif
    return jump;
  }
  // Comes before all else; does nothing the second time. Async-signal-safe.
  AnyFunction TakePlace(AnyFunction original) const;
  AnyFunction original() const { return original_; }

  // Takes `past`, the layer's target, unless it has that already: then it is
  // left to the caller.
  void Push(SlotLayer* layer, std::unique_ptr<PastSlotTarget>& past);
  void Remove(SlotLayer* layer);

  // The original and all that it has led to since, each once.
  std::vector<AnyFunction> AllTargets() const;

 private:
  void Publish() const;  // under the lock

  // Null before TakePlace(), which writes the others first.
  mutable std::atomic<AnyFunction> jump_{nullptr};
  mutable std::atomic<AnyFunction>* current_ = nullptr;  // where it leads
  mutable AnyFunction original_ = nullptr;
  // Under the lock of all slots: those in effect, latest first, and those that
  // there ever were.
  SlotLayer* layers_ = nullptr;
  PastSlotTarget* past_targets_ = nullptr;
};

}  // namespace code_internal

template <typename Signature>
class Redefinable;

template <typename R, typename... A>
class Redefinable<R(A...)> {
 public:
  using Function = R (*)(A...);

  // Not null, which is found when it is first used: of an address that the
  // linker finds the compiler does not know that, and would initialize one at
  // namespace scope by code.
  explicit constexpr Redefinable(Function original) : original_(original) {}

  R operator()(A... arguments) const {
    return reinterpret_cast<Function>(slot_.jump(AnyOriginal()))(
        std::forward<A>(arguments)...);
  }

  // What calls reach now. Whoever calls that has looked it up already: see
  // above.
  Function Current() const {
    return reinterpret_cast<Function>(slot_.current(AnyOriginal()));
  }
  // What it was made with.
  Function Original() const { return original_; }

 private:
  friend class RedefinableRedirection;

  code_internal::AnyFunction AnyOriginal() const {
    return reinterpret_cast<code_internal::AnyFunction>(original_);
  }

  const Function original_;
  code_internal::RedefinableSlot slot_;
};

// One redirection of one Redefinable. Unlike a Redirection of code, which
// leaves its effect behind, it is part of the slot's list: dropping it undoes
// it.
class RedefinableRedirection {
 public:
  // Changes nothing before Apply().
  template <typename R, typename... A>
  RedefinableRedirection(Redefinable<R(A...)>& redefinable,
                         typename Redefinable<R(A...)>::Function target)
      : RedefinableRedirection(
            redefinable.slot_,
            reinterpret_cast<code_internal::AnyFunction>(target)) {
    INSTAR_CHECK(target != nullptr) << "a function is needed";
    slot_.TakePlace(redefinable.AnyOriginal());
  }
  // Another one of the same slot by the same function.
  RedefinableRedirection Again() const {
    return RedefinableRedirection(slot_, layer_.target);
  }
  ~RedefinableRedirection() {
    if (is_applied_) Undo();
  }
  RedefinableRedirection(const RedefinableRedirection&) = delete;
  RedefinableRedirection& operator=(const RedefinableRedirection&) = delete;

  // prepared -> applied. Otherwise a check fails. Never allocates or fails.
  void Apply();
  // applied -> prepared. Otherwise a check fails.
  void Undo();
  bool is_applied() const { return is_applied_; }

  // For those who look for activations, and for names. The addresses of what
  // the slot leads to without any redirection, of all that it ever led to,
  // since activations may still run, and of this one's target; each once.
  std::vector<uintptr_t> AllTargets() const;
  uintptr_t original() const {
    return reinterpret_cast<uintptr_t>(slot_.original());
  }
  // Whether both are of the same Redefinable.
  bool HasSameSlot(const RedefinableRedirection& other) const {
    return &slot_ == &other.slot_;
  }

 private:
  RedefinableRedirection(code_internal::RedefinableSlot& slot,
                         code_internal::AnyFunction target)
      : slot_(slot),
        past_target_(new code_internal::PastSlotTarget{target, nullptr}) {
    layer_.target = target;
  }

  code_internal::RedefinableSlot& slot_;
  std::unique_ptr<code_internal::PastSlotTarget> past_target_;
  code_internal::SlotLayer layer_;
  bool is_applied_ = false;
};

}  // namespace instar

#endif  // INSTAR_CODE_REDEFINABLE_H_
