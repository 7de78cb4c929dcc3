// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The forms in which people write the name of a C++ function or variable.

#ifndef INSTAR_CODE_SYMBOLS_IMAGES_SYMBOL_NAME_H_
#define INSTAR_CODE_SYMBOLS_IMAGES_SYMBOL_NAME_H_

#include <string>

#include "absl/strings/string_view.h"

namespace instar {
namespace code_internal {

// The readable form of a linkage name (Itanium C++ ABI 5.1); what is not a
// mangled name comes back as it is. `f.part.0` gives "f() [clone .part.0]".
std::string Demangle(absl::string_view linkage_name);

// The readable form of std::type_info::name().
std::string DemangleType(const char* name);

// One spelling for what means the same: no blanks but between words, `T const`
// for `const T` in parameters, `std::string` for what stands behind it, `()`
// for `(void)`, and none of the tags (`[abi:cxx11]`) that nobody writes.
std::string CanonicalName(absl::string_view name);

// With `std::string` for the template that stands behind it.
std::string WithStdString(absl::string_view name);

// Without return type, parameters and qualifiers of a member function:
//   "int ns::Max<int>(int, int)"  gives  "ns::Max<int>"
//   "ns::A::operator()(int) const"  gives  "ns::A::operator()"
// What has no parameters comes back whole.
std::string QualifiedName(absl::string_view readable);

// Without return type: "int ns::Max<int>(int)" gives "ns::Max<int>(int)".
std::string WithoutReturnType(absl::string_view readable);

// Without `(anonymous namespace)::`.
std::string WithoutAnonymousNamespaces(absl::string_view name);

// Without template arguments: "ns::Max<int>(int)" gives "ns::Max(int)".
std::string WithoutTemplateArguments(absl::string_view name);

// Without the parameters of functions that enclose it:
// "f(int)::counter" gives "f::counter".
std::string WithoutEnclosingParameters(absl::string_view name);

// What all spellings of one name have in common: its qualified name without
// anything that may be left out.
std::string NameKey(absl::string_view readable);

// How well what someone wrote fits a symbol; smaller is better, 0 is its
// linkage name. -1: not at all. Both names must have the same NameKey(), or be
// the same.
int MatchName(absl::string_view wanted, absl::string_view linkage_name,
              absl::string_view readable);

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_IMAGES_SYMBOL_NAME_H_
