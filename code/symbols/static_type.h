// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A type as the compiler knows it, in the form in which debug information
// describes it too (code/symbols/return_type.h), so that the two can be
// compared.

#ifndef INSTAR_CODE_SYMBOLS_STATIC_TYPE_H_
#define INSTAR_CODE_SYMBOLS_STATIC_TYPE_H_

#include <cstddef>
#include <string>
#include <type_traits>
#include <typeinfo>

#include "absl/strings/str_cat.h"

namespace instar {

struct StaticType {
  std::string name;      // for people
  std::string key;       // the same for types that are the same
  std::size_t size = 0;  // of a class; 0: not known
  bool is_known = true;  // no form for it is known: a pointer to a member
};

namespace code_internal {

// "shop::Site" for the name of the pointer to it (std::type_info::name()),
// which also what is incomplete has.
std::string NameOfPointee(const char* pointer_name);

template <typename T, typename = void>
struct SizeOf {
  static constexpr std::size_t kValue = 0;
};
template <typename T>
struct SizeOf<T, std::void_t<decltype(sizeof(T))>> {
  static constexpr std::size_t kValue = sizeof(T);
};

// DW_ATE_* of DWARF 5, 7.8, as GCC chooses them.
template <typename T>
constexpr int EncodingOf() {
  if constexpr (std::is_same_v<T, bool>) return 0x02;
  if constexpr (std::is_floating_point_v<T>) return 0x04;
  if constexpr (std::is_same_v<T, char16_t> || std::is_same_v<T, char32_t>) {
    return 0x10;
  }
  if constexpr (std::is_same_v<T, char> || std::is_same_v<T, signed char>) {
    return 0x06;
  }
  if constexpr (std::is_same_v<T, unsigned char>) return 0x08;
  return std::is_signed_v<T> ? 0x05 : 0x07;
}

}  // namespace code_internal

template <typename T>
StaticType StaticTypeOf() {
  const auto with = [](StaticType type, const char* suffix) {
    type.name += suffix;
    type.key += suffix;
    return type;
  };
  const auto pointer = [&with](StaticType type, const char* suffix) {
    type.size = 0;  // what it leads to may be anything
    return with(type, suffix);
  };
  StaticType type;
  if constexpr (std::is_void_v<T> && !std::is_const_v<T> &&
                !std::is_volatile_v<T>) {
    type.name = type.key = "void";
  } else if constexpr (std::is_volatile_v<T>) {
    type.is_known = false;
  } else if constexpr (std::is_const_v<T>) {
    type = with(StaticTypeOf<std::remove_const_t<T>>(), " const");
  } else if constexpr (std::is_pointer_v<T>) {
    if constexpr (std::is_function_v<std::remove_pointer_t<T>>) {
      type.is_known = false;
    } else {
      type = pointer(StaticTypeOf<std::remove_pointer_t<T>>(), "*");
    }
  } else if constexpr (std::is_lvalue_reference_v<T>) {
    type = pointer(StaticTypeOf<std::remove_reference_t<T>>(), "&");
  } else if constexpr (std::is_rvalue_reference_v<T>) {
    type = pointer(StaticTypeOf<std::remove_reference_t<T>>(), "&&");
  } else if constexpr (std::is_integral_v<T> || std::is_floating_point_v<T>) {
    type.name = code_internal::NameOfPointee(typeid(T*).name());
    type.key =
        absl::StrCat("number ", code_internal::EncodingOf<T>(), " ", sizeof(T));
    type.size = sizeof(T);
  } else if constexpr (std::is_class_v<T> || std::is_union_v<T> ||
                       std::is_enum_v<T>) {
    type.name = type.key = code_internal::NameOfPointee(typeid(T*).name());
    type.size = code_internal::SizeOf<T>::kValue;
  } else {
    type.is_known = false;  // functions, arrays, pointers to members
  }
  return type;
}

}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_STATIC_TYPE_H_
