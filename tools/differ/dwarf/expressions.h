// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The few DWARF expressions that say where something is once and for all.
// Internal to this package. (DWARF 5, section 2.5.)

#ifndef INSTAR_TOOLS_DIFFER_DWARF_EXPRESSIONS_H_
#define INSTAR_TOOLS_DIFFER_DWARF_EXPRESSIONS_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "tools/differ/dwarf/die_tree.h"

namespace instar {
namespace differ {

struct StaticLocation {
  std::uint64_t address;
  bool is_thread_local;
};

// Of a variable. Nothing for what is in a register, on the stack, in pieces or
// elsewhere.
std::optional<StaticLocation> StaticLocationOf(const DieTree& dies,
                                               DieIndex variable);

// The value of an expression that is one constant, as DW_OP_constu 3 or
// DW_OP_plus_uconst 8 (an offset from what is on the stack).
std::optional<std::uint64_t> ConstantExpression(absl::string_view expression);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_EXPRESSIONS_H_
