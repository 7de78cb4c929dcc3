// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Numbers, and which of them are the same bytes in two types of one size.
// Internal to this package. Threads: any.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_SCALAR_KIND_H_
#define INSTAR_TOOLS_DIFFER_DWARF_SCALAR_KIND_H_

#include <cstdint>

#include "tools/differ/dwarf/die_tree.h"

namespace instar {
namespace differ {

enum class ScalarKind : std::uint8_t {
  kNone,  // a class, an array, a pointer, a floating-point number, ...
  kBoolean,
  kSigned,
  kUnsigned,
  kEnumeration,
};

// Of a type that is no typedef, nor const or volatile; kNoDie is void.
ScalarKind ScalarKindOf(const DieTree& dies, DieIndex type);

// Whether every value of the old kind is the same bytes as that value of the
// new one. Not an integer -> bool: a bool is 0 or 1.
bool IsSameBytes(ScalarKind was, ScalarKind is);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_SCALAR_KIND_H_
