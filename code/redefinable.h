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
// object must stay loaded.
//
// Threads: calls from any thread and signal handler, also during a
// redefinition. Redirections from any thread, under one lock for all; not in
// signal handlers.
//
// Memory ordering: a call loads the pointer with acquire order, Apply() and
// Undo() store it with release order: a thread that runs the new version sees
// what was done before Apply(). A call that happens after Apply() runs the new
// version; one at the same time runs the new or the one before.

#ifndef INSTAR_CODE_REDEFINABLE_H_
#define INSTAR_CODE_REDEFINABLE_H_

#include <atomic>
#include <utility>

#include "base/check.h"

namespace instar {

namespace code_internal {

using AnyFunction = void (*)();

// One redirection of one slot. In the slot's list while applied.
struct SlotLayer {
  AnyFunction target = nullptr;
  SlotLayer* below = nullptr;
};

// The part that does not depend on the signature.
class RedefinableSlot {
 public:
  constexpr explicit RedefinableSlot(AnyFunction original)
      : current_(original), original_(original) {}
  RedefinableSlot(const RedefinableSlot&) = delete;
  RedefinableSlot& operator=(const RedefinableSlot&) = delete;

  AnyFunction current() const {
    // Pairs with the store in Publish(), redefinable.cc: what was done before a
    // redefinition is seen by the version that it brought.
    return current_.load(std::memory_order_acquire);
  }
  AnyFunction original() const { return original_; }

  void Push(SlotLayer* layer);
  void Remove(SlotLayer* layer);

 private:
  void Publish();

  std::atomic<AnyFunction> current_;
  const AnyFunction original_;
  SlotLayer* layers_ = nullptr;  // latest first; under the lock of all slots
};

}  // namespace code_internal

template <typename Signature>
class Redefinable;

template <typename R, typename... A>
class Redefinable<R(A...)> {
 public:
  using Function = R (*)(A...);

  explicit Redefinable(Function original)
      : slot_(reinterpret_cast<code_internal::AnyFunction>(original)) {
    INSTAR_CHECK(original != nullptr) << "a function is needed";
  }

  R operator()(A... arguments) const {
    return reinterpret_cast<Function>(slot_.current())(
        std::forward<A>(arguments)...);
  }

  // What calls reach now.
  Function Current() const {
    return reinterpret_cast<Function>(slot_.current());
  }
  // What it was made with.
  Function Original() const {
    return reinterpret_cast<Function>(slot_.original());
  }

 private:
  friend class RedefinableRedirection;

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
      : slot_(redefinable.slot_) {
    INSTAR_CHECK(target != nullptr) << "a function is needed";
    layer_.target = reinterpret_cast<code_internal::AnyFunction>(target);
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

 private:
  code_internal::RedefinableSlot& slot_;
  code_internal::SlotLayer layer_;
  bool is_applied_ = false;
};

}  // namespace instar

#endif  // INSTAR_CODE_REDEFINABLE_H_
