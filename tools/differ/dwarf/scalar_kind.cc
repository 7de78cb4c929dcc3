// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/scalar_kind.h"

#include <dwarf.h>

namespace instar {
namespace differ {

ScalarKind ScalarKindOf(const DieTree& dies, DieIndex type) {
  if (type == kNoDie) return ScalarKind::kNone;
  if (dies[type].tag == DW_TAG_enumeration_type) {
    return ScalarKind::kEnumeration;
  }
  if (dies[type].tag != DW_TAG_base_type) return ScalarKind::kNone;
  switch (dies.Constant(type, DW_AT_encoding).value_or(0)) {
    case DW_ATE_boolean:
      return ScalarKind::kBoolean;
    case DW_ATE_signed:
    case DW_ATE_signed_char:
      return ScalarKind::kSigned;
    case DW_ATE_unsigned:
    case DW_ATE_unsigned_char:
    case DW_ATE_UTF:
      return ScalarKind::kUnsigned;
    default:
      return ScalarKind::kNone;
  }
}

bool IsSameBytes(ScalarKind was, ScalarKind is) {
  const bool is_integer =
      is == ScalarKind::kSigned || is == ScalarKind::kUnsigned;
  switch (was) {
    case ScalarKind::kBoolean:
    case ScalarKind::kEnumeration:
      return is_integer;
    case ScalarKind::kSigned:
    case ScalarKind::kUnsigned:
      return is_integer || is == ScalarKind::kEnumeration;
    case ScalarKind::kNone:
      return false;
  }
  return false;
}

}  // namespace differ
}  // namespace instar
