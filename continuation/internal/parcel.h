// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How a value travels with a switch: the sender keeps it in a Parcel on its own
// stack, its address crosses, the receiver moves it out. Nothing is copied or
// allocated on the way. The sender is paused meanwhile, so the value is alive.
// Nothing here is for users.

#ifndef INSTAR_CONTINUATION_INTERNAL_PARCEL_H_
#define INSTAR_CONTINUATION_INTERNAL_PARCEL_H_

#include <memory>
#include <type_traits>
#include <utility>

#include "absl/base/attributes.h"

namespace instar {
namespace continuation_internal {

// Selects the constructor that holds what a call returns.
struct ResultOf {};

// Whether a To that is a reference, initialized with a From, refers to what was
// given and not to a temporary that is made from it. (An object that does not
// outlive the switch is the caller's matter, as with any reference.)
template <typename From, typename To>
constexpr bool kBindsDirectly =
    std::is_convertible_v<std::remove_reference_t<From>*,
                          std::remove_reference_t<To>*>;

template <typename T>
class Parcel {
  static_assert(!std::is_rvalue_reference_v<T>,
                "pass the value itself: it is moved, not copied");

 public:
  template <typename Value>
  explicit Parcel(Value&& value) : value_(std::forward<Value>(value)) {
    static_assert(std::is_convertible_v<Value&&, T>,
                  "the value has not the type that this switch passes");
  }
  template <typename Call>
  Parcel(ResultOf, Call& call) : value_(call()) {}

  void* address() {
    return const_cast<void*>(
        static_cast<const volatile void*>(std::addressof(value_)));
  }
  ABSL_ATTRIBUTE_ALWAYS_INLINE static T Open(void* address) {
    return std::move(*static_cast<T*>(address));
  }
  static void Destroy(void* address) { static_cast<T*>(address)->~T(); }

 private:
  T value_;
};

template <typename T>
class Parcel<T&> {
 public:
  template <typename Value>
  explicit Parcel(Value&& value) : value_(Address(std::forward<Value>(value))) {
    static_assert(kBindsDirectly<Value&&, T&>,
                  "a reference that is passed must refer to an object of its "
                  "own type: one made by a conversion would be gone");
  }
  template <typename Call>
  Parcel(ResultOf, Call& call) : value_(std::addressof(call())) {}

  void* address() {
    return const_cast<void*>(static_cast<const volatile void*>(value_));
  }
  static T& Open(void* address) { return *static_cast<T*>(address); }
  static void Destroy(void*) {}

 private:
  static T* Address(T& value) { return std::addressof(value); }

  T* value_;
};

template <>
class Parcel<void> {
 public:
  Parcel() = default;
  template <typename Call>
  Parcel(ResultOf, Call& call) {
    call();
  }

  void* address() { return nullptr; }
  static void Open(void*) {}
  static void Destroy(void*) {}
};

// The only type of a list, or void if it is empty.
template <typename... T>
struct OneOrVoid {
  static_assert(sizeof...(T) == 0,
                "a switch passes at most one value: use a struct or a tuple");
  using type = void;
};
template <typename T>
struct OneOrVoid<T> {
  using type = T;
};

}  // namespace continuation_internal
}  // namespace instar

#endif  // INSTAR_CONTINUATION_INTERNAL_PARCEL_H_
