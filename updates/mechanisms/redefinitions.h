// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions and slots that are redefined as one: a list, and what is made of
// it.
//
//   Redefinitions list = Redefinitions().Add(&Price, &NewPrice)
//                            .Add(discount_slot, &NewDiscount);
//   INSTAR_ASSIGN_OR_RETURN(auto prepared, PreparedRedefinitions::Make(list));
//   INSTAR_ASSIGN_OR_RETURN(auto functions, prepared.QuiescentFunctions());
//   ... when they are on no stack, and threads are held ...
//   INSTAR_RETURN_IF_ERROR(prepared.Apply(OtherThreads::kHeld));
//
// This takes no look at stacks: who applies mechanisms does.
//
// Lifetime: slots outlive what refers to them. Dropping a PreparedRedefinitions
// leaves in effect what is. Threads: a list belongs to one thread; what is
// prepared, to one at a time. Apply() and Undo() allocate nothing and take no
// lock of the program, unless they fail.

#ifndef INSTAR_UPDATES_MECHANISMS_REDEFINITIONS_H_
#define INSTAR_UPDATES_MECHANISMS_REDEFINITIONS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "code/entry_interception.h"
#include "code/function_entry.h"
#include "code/internal/other_threads.h"
#include "code/redefinable.h"
#include "code/symbols/function.h"
#include "code/symbols/static_type.h"

namespace instar {

// Functions and slots, and what each is to be redefined by. Errors are kept for
// Prepare().
struct NamedRedefinitionOptions {
  // Functions of which it is not known what they return. Another type than the
  // callers expect is undefined behavior from the first call on.
  bool accept_unknown_return_type = false;
};

class Redefinitions {
 public:
  // Of overloads, give the type: Add<int(double)>(&Round, &NewRound).
  template <typename F, std::enable_if_t<std::is_function_v<F>, int> = 0>
  Redefinitions& Add(F* from, std::common_type_t<F*> to) {
    return AddFunction(Function::Of(from),
                       reinterpret_cast<std::uintptr_t>(to));
  }
  // A virtual one: what objects of exactly this class run.
  template <typename C, typename F,
            std::enable_if_t<std::is_function_v<F>, int> = 0>
  Redefinitions& Add(F C::*from, std::common_type_t<F C::*> to) {
    const absl::StatusOr<Function> target = Function::Of(to);
    if (!target.ok()) return AddFunction(target.status(), 0);
    return AddFunction(Function::Of(from), target->entry());
  }
  template <typename R, typename C, typename... A>
  Redefinitions& Add(R (C::*from)(A...), R (*to)(C*, A...)) {
    return AddFunction(Function::Of(from),
                       reinterpret_cast<std::uintptr_t>(to));
  }
  template <typename R, typename C, typename... A>
  Redefinitions& Add(R (C::*from)(A...) const, R (*to)(const C*, A...)) {
    return AddFunction(Function::Of(from),
                       reinterpret_cast<std::uintptr_t>(to));
  }

  // By name, as Function::Named() takes it. The parameter types must be the
  // same in both names, and the type that they return in debug information
  // (code/symbols/return_type.h): of functions that were compiled without -g it
  // is not known, and that is an error unless `options` accept it. What a
  // function that is given by its address returns is known as well. A lambda,
  // "Server::OnRead(int)::{lambda(int)#2}", is redefined by another one, or by
  // a function that gets it first as a `const void*` (`void*` if it is
  // mutable): what it captured lies there in the order in which it captured it,
  // by value or as a pointer. One that was inlined into what calls it
  // (std::function, Asio) is NotFound, and the error names that: redefine the
  // function that its body calls.
  template <typename F, std::enable_if_t<std::is_function_v<F>, int> = 0>
  Redefinitions& AddNamed(absl::string_view from, F* to,
                          NamedRedefinitionOptions options = {}) {
    const StaticType type =
        StaticTypeOf<std::remove_cv_t<typename ReturnTypeOf<F>::Type>>();
    return AddByName(from, Function::Of(to), &type, options);
  }
  Redefinitions& AddNamed(absl::string_view from, absl::string_view to,
                          NamedRedefinitionOptions options = {}) {
    return AddByName(from, Function::Named(to), nullptr, options);
  }

  // Of functions whose C++ types are not known here, as those of C: nothing
  // says whether they take and return the same.
  Redefinitions& AddUntyped(absl::StatusOr<Function> from, const void* to) {
    return AddFunction(std::move(from), reinterpret_cast<std::uintptr_t>(to));
  }

  // What the slot leads to. It outlives all redefinitions.
  template <typename R, typename... A>
  Redefinitions& Add(Redefinable<R(A...)>& slot,
                     typename Redefinable<R(A...)>::Function to) {
    slots_.push_back(std::make_shared<const RedefinableRedirection>(slot, to));
    return *this;
  }

  // For whoever carries them out: what was given, and the first error in it.
  const std::vector<EntryRedirection>& entries() const { return entries_; }
  const std::vector<std::shared_ptr<const RedefinableRedirection>>& slots()
      const {
    return slots_;
  }
  const absl::Status& status() const { return status_; }
  // "shop::Price(int)", and so on. Takes locks.
  std::vector<std::string> names() const;

 private:
  template <typename F>
  struct ReturnTypeOf;
  template <typename R, typename... A>
  struct ReturnTypeOf<R(A...)> {
    using Type = R;
  };
  template <typename R, typename... A>
  struct ReturnTypeOf<R(A...) noexcept> {
    using Type = R;
  };

  Redefinitions& AddFunction(const absl::StatusOr<Function>& from,
                             std::uintptr_t to);
  Redefinitions& AddByName(absl::string_view from,
                           const absl::StatusOr<Function>& to,
                           const StaticType* returned,
                           const NamedRedefinitionOptions& options);

  std::vector<EntryRedirection> entries_;
  std::vector<std::shared_ptr<const RedefinableRedirection>> slots_;
  absl::Status status_;
};

class PreparedRedefinitions {
 public:
  // Errors: the list's, and those of code/function_entry.h. InvalidArgument if
  // the list is empty, or has a slot twice.
  static absl::StatusOr<PreparedRedefinitions> Make(
      const Redefinitions& redefinitions, RedirectionOptions options = {});

  PreparedRedefinitions(PreparedRedefinitions&& other) noexcept
      : functions_(std::move(other.functions_)),
        redirection_(std::move(other.redirection_)),
        during_attempts_(std::move(other.during_attempts_)),
        slots_(std::move(other.slots_)),
        is_applied_(std::exchange(other.is_applied_, false)) {}
  PreparedRedefinitions& operator=(PreparedRedefinitions&&) = delete;
  ~PreparedRedefinitions();

  // Prepared -> applied -> prepared, all or nothing; a check fails otherwise.
  absl::Status Apply(OtherThreads others);
  absl::Status Undo(OtherThreads others);
  bool is_applied() const { return is_applied_; }

  // From BeginAttempts() to EndAttempts(), Apply() and Undo() change no code: a
  // store for each function is all that happens while threads are held. The
  // code is changed by these two, while threads run; calls of the functions
  // cost some ns more in between. If EndAttempts() fails, that is said on
  // standard error, and they go on costing that.
  absl::Status BeginAttempts();
  void EndAttempts();

  // What must be on no stack before either, in any version: the functions, and
  // all that the slots ever led to. Anew before each change: others may have
  // redefined the slots. Allocates and takes locks.
  absl::StatusOr<std::vector<Function>> QuiescentFunctions() const;

 private:
  PreparedRedefinitions() = default;

  std::vector<Function> functions_;
  std::optional<Redirection> redirection_;  // if there are functions
  std::optional<EntryInterception> during_attempts_;
  std::vector<std::unique_ptr<RedefinableRedirection>> slots_;
  bool is_applied_ = false;
};

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_REDEFINITIONS_H_
