// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Values that a function exposes to whoever reboots it: the new version of the
// function starts with what the old one had.
//
//   void ServeForever() {
//     int connection = Listen();
//     std::string peer;
//     ExposedValue expose_connection("connection", connection);
//     ExposedValue expose_peer("peer", peer);
//     ...
//   }
//
//   // When its thread is at an update point, on that thread:
//   absl::StatusOr<int> connection = ReadExposed<int>("connection");
//   absl::StatusOr<std::string*> peer = FindExposed<std::string>("peer");
//
// Debug information is not asked: the value is the variable itself, whose
// address is known to other code, so at every call that the compiler cannot see
// into it stands in memory, at any optimization level. Update points are such
// calls. In a thread that a signal interrupted anywhere the variable may be in
// a register: do not read there.
//
// If several functions on a stack expose the same name, the innermost is found,
// or all of them (FindAllExposed()). By default all of the thread's are
// searched, those in its paused continulets too; give the bounds of a stack to
// search only that one.
//
// Exposing takes about 2 ns and allocates nothing.
//
// Lifetime: `name` must live as long as the ExposedValue (a literal does); the
// variable is declared before it. What FindExposed() returns is valid while
// the function that exposes it stays where it is.
// Threads: everything belongs to the calling thread. An ExposedValue is
// destroyed on the thread that made it, as all that lies on a continulet's
// stack is. Readers must not run in a signal handler.

#ifndef INSTAR_STACK_EXPOSED_VALUES_H_
#define INSTAR_STACK_EXPOSED_VALUES_H_

#include <memory>
#include <type_traits>
#include <typeinfo>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "stack/stack_snapshot.h"

namespace instar {

namespace stack_internal {

// A member of the thread's list, newest first. Those of different continulets
// come and go in any order, so it is linked both ways.
struct ExposedNode {
  const char* name;
  const std::type_info* type;
  const void* value;
  bool is_const;
  ExposedNode* older;
  ExposedNode** link_to_this;
};

extern __thread ExposedNode* exposed_values
    __attribute__((tls_model("initial-exec")));

// The newest value of that name and type on a stack within `bounds` (any stack
// if they are empty), or an error that names what is there. With `after`: the
// newest of those that are older.
absl::StatusOr<const ExposedNode*> FindExposedNode(
    absl::string_view name, const std::type_info& type, bool to_change,
    StackBounds bounds, const ExposedNode* after = nullptr);

// While it lives, the calling thread finds what another one exposes, which is
// held: `newest` is that thread's `exposed_values`.
class ScopedExposedValues {
 public:
  explicit ScopedExposedValues(ExposedNode* newest);
  ~ScopedExposedValues();
  ScopedExposedValues(const ScopedExposedValues&) = delete;
  ScopedExposedValues& operator=(const ScopedExposedValues&) = delete;

 private:
  ExposedNode* const own_;
  ExposedNode* const newest_;
  ExposedNode** const link_;
};

}  // namespace stack_internal

// Exposes a variable by its name and type while it is alive. Lies on the stack
// of the function whose variable it is.
template <typename T>
class ExposedValue {
 public:
  ExposedValue(const char* name, T& value)
      : node_{name,
              &typeid(T),
              std::addressof(value),
              std::is_const<T>::value,
              stack_internal::exposed_values,
              &stack_internal::exposed_values} {
    if (node_.older != nullptr) node_.older->link_to_this = &node_.older;
    // The list outlives this node; GCC would warn of that, not seeing that the
    // destructor takes it out.
    stack_internal::ExposedNode* self = &node_;
    asm("" : "+r"(self));
    stack_internal::exposed_values = self;
  }
  ExposedValue(const ExposedValue&) = delete;
  ExposedValue& operator=(const ExposedValue&) = delete;

  ~ExposedValue() {
    *node_.link_to_this = node_.older;
    if (node_.older != nullptr) node_.older->link_to_this = node_.link_to_this;
  }

 private:
  stack_internal::ExposedNode node_;
};

// The variable that is exposed as `name`. NOT_FOUND, with the nearest names and
// all that are exposed, if there is none: its function may not have begun, so
// an update waits for it, and says so in `check`; INVALID_ARGUMENT, with both
// types, if the innermost of that name has another type, or is const and T is
// not.
template <typename T>
absl::StatusOr<T*> FindExposed(absl::string_view name,
                               StackBounds bounds = StackBounds()) {
  const auto node = stack_internal::FindExposedNode(
      name, typeid(T), !std::is_const<T>::value, bounds);
  if (!node.ok()) return node.status();
  return static_cast<T*>(const_cast<void*>((*node)->value));
}

// The variables of all functions that expose `name`, innermost first: of each
// activation of a recursion. Errors as above; one of another type is one.
template <typename T>
absl::StatusOr<std::vector<T*>> FindAllExposed(
    absl::string_view name, StackBounds bounds = StackBounds()) {
  std::vector<T*> found;
  const stack_internal::ExposedNode* last = nullptr;
  while (true) {
    const auto node = stack_internal::FindExposedNode(
        name, typeid(T), !std::is_const<T>::value, bounds, last);
    if (absl::IsNotFound(node.status()) && !found.empty()) return found;
    if (!node.ok()) return node.status();
    last = *node;
    found.push_back(static_cast<T*>(const_cast<void*>(last->value)));
  }
}

// A copy of its value.
template <typename T>
absl::StatusOr<T> ReadExposed(absl::string_view name,
                              StackBounds bounds = StackBounds()) {
  const auto value = FindExposed<const T>(name, bounds);
  if (!value.ok()) return value.status();
  return **value;
}

}  // namespace instar

#endif  // INSTAR_STACK_EXPOSED_VALUES_H_
