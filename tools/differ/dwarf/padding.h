// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where a class has room that no member takes. Internal to this package.
// Threads: any.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_PADDING_H_
#define INSTAR_TOOLS_DIFFER_DWARF_PADDING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/differ/dwarf/type_layout.h"

namespace instar {
namespace differ {

// What no member takes, in bits; [begin, end), by place.
struct Hole {
  std::uint64_t begin;
  std::uint64_t end;
  const MemberLayout* behind;  // null: at the begin
};

std::vector<Hole> HolesOf(const TypeLayout& layout);

// Whether the member lies in one of them.
bool Lies(const MemberLayout& member, const std::vector<Hole>& holes);

// Where the members would fit into padding: "discount behind count (at 12)".
// Nothing if not all of them do.
std::optional<std::string> Fit(const std::vector<const MemberLayout*>& members,
                               const TypeLayout& layout);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_PADDING_H_
