// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/padding.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace instar {
namespace differ {

std::vector<Hole> HolesOf(const TypeLayout& layout) {
  std::vector<const MemberLayout*> members;
  for (const MemberLayout& member : layout.members) {
    if (member.place_by_table.empty()) members.push_back(&member);
  }
  std::stable_sort(members.begin(), members.end(),
                   [](const MemberLayout* a, const MemberLayout* b) {
                     return a->bit_offset < b->bit_offset;
                   });
  std::vector<Hole> holes;
  std::uint64_t end = 0;
  const MemberLayout* behind = nullptr;
  for (const MemberLayout* member : members) {
    if (member->bit_offset > end) {
      holes.push_back({end, member->bit_offset, behind});
    }
    if (member->end() >= end) {
      end = member->end();
      behind = member;
    }
  }
  if (8 * layout.size > end) holes.push_back({end, 8 * layout.size, behind});
  return holes;
}

bool Lies(const MemberLayout& member, const std::vector<Hole>& holes) {
  return std::any_of(holes.begin(), holes.end(), [&](const Hole& hole) {
    return hole.begin <= member.bit_offset && member.end() <= hole.end;
  });
}

std::optional<std::string> Fit(const std::vector<const MemberLayout*>& members,
                               const TypeLayout& layout) {
  std::vector<Hole> holes = HolesOf(layout);
  std::uint64_t most_aligned = std::max<std::uint64_t>(layout.alignment, 1);
  for (const MemberLayout& member : layout.members) {
    most_aligned = std::max(most_aligned, member.alignment);
  }
  std::vector<std::string> places;
  for (const MemberLayout* const member : members) {
    if (member->is_bit_field || member->bit_size == 0 ||
        member->alignment > most_aligned) {
      return std::nullopt;
    }
    const std::uint64_t alignment = 8 * member->alignment;
    bool found = false;
    for (Hole& hole : holes) {
      const std::uint64_t at =
          (hole.begin + alignment - 1) / alignment * alignment;
      if (at + member->bit_size > hole.end) continue;
      places.push_back(absl::StrCat(
          member->name, " ",
          hole.behind == nullptr ? "to the begin"
                                 : absl::StrCat("behind ", hole.behind->name),
          " (at ", at / 8, ")"));
      hole.begin = at + member->bit_size;
      hole.behind = member;
      found = true;
      break;
    }
    if (!found) return std::nullopt;
  }
  return absl::StrJoin(places, ", ");
}

}  // namespace differ
}  // namespace instar
