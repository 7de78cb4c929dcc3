// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether what is to be called is nothing. Internal to this package.

#ifndef INSTAR_UPDATES_MECHANISMS_INTERNAL_EMPTY_CALLABLE_H_
#define INSTAR_UPDATES_MECHANISMS_INTERNAL_EMPTY_CALLABLE_H_

#include <type_traits>
#include <utility>

namespace instar {
namespace updates_internal {

// True for a null pointer, an empty std::function and the like.
template <typename F, typename = void>
struct CanBeEmpty : std::false_type {};
template <typename F>
struct CanBeEmpty<F, std::void_t<decltype(std::declval<const F&>() == nullptr)>>
    : std::true_type {};
template <typename F>
bool IsEmpty(const F& callable) {
  if constexpr (CanBeEmpty<F>::value) {
    return callable == nullptr;
  } else {
    static_cast<void>(callable);
    return false;
  }
}

}  // namespace updates_internal

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_INTERNAL_EMPTY_CALLABLE_H_
