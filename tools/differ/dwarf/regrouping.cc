// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/regrouping.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"

namespace instar {
namespace differ {
namespace {

using Path = std::vector<std::string>;

// What is not taken apart.
struct Leaf {
  Path path;
  std::uint64_t bit_offset;
  const MemberLayout* member;
};

struct Leaves {
  std::vector<Leaf> all;  // by place
  std::map<std::string, int> count_of;
  // A structure that is taken apart -> its type.
  std::map<Path, std::string> groups;
};

void Add(const std::vector<MemberLayout>& members, const Path& path,
         std::uint64_t bit_offset, Leaves* leaves) {
  for (const MemberLayout& member : members) {
    Path inner = path;
    inner.push_back(member.name);
    const std::uint64_t at = bit_offset + member.bit_offset;
    if (member.parts.empty()) {
      ++leaves->count_of[member.name];
      leaves->all.push_back({std::move(inner), at, &member});
    } else {
      leaves->groups[inner] = member.bare_type;
      Add(member.parts, inner, at, leaves);
    }
  }
}

Leaves LeavesOf(const TypeLayout& layout) {
  Leaves leaves;
  Add(layout.members, {}, 0, &leaves);
  std::stable_sort(
      leaves.all.begin(), leaves.all.end(),
      [](const Leaf& a, const Leaf& b) { return a.bit_offset < b.bit_offset; });
  return leaves;
}

bool IsNameless(const std::string& name) {
  return absl::StartsWith(name, "{nameless");
}

// Whether `some` is what is left of `all` when some of it is left out.
bool IsPartOf(const Path& some, const Path& all) {
  std::size_t found = 0;
  for (const std::string& name : all) {
    if (found < some.size() && some[found] == name) ++found;
  }
  return found == some.size();
}

bool IsSameLeaf(const Leaf& a, const Leaf& b) {
  return a.bit_offset == b.bit_offset && a.member->name == b.member->name &&
         a.member->bare_type == b.member->bare_type &&
         a.member->bit_size == b.member->bit_size &&
         a.member->alignment == b.member->alignment &&
         a.member->is_base == b.member->is_base &&
         a.member->is_bit_field == b.member->is_bit_field &&
         a.member->place_by_table.empty() && b.member->place_by_table.empty();
}

// Whether a leaf is the other in spite of the groups that it is in.
bool IsSameInOtherGroups(const Leaf& a, const Leaf& b, const Leaves& was,
                         const Leaves& is) {
  const std::string& name = a.member->name;
  return !a.member->is_bit_field && !IsNameless(name) &&
         was.count_of.at(name) == 1 && is.count_of.at(name) == 1 &&
         (IsPartOf(a.path, b.path) || IsPartOf(b.path, a.path));
}

bool HasSameParts(const std::vector<MemberLayout>& a,
                  const std::vector<MemberLayout>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const MemberLayout& one, const MemberLayout& other) {
                      return one == other &&
                             HasSameParts(one.parts, other.parts);
                    });
}

}  // namespace

bool IsRegrouped(const TypeLayout& was, const TypeLayout& is) {
  if (was.kind != TypeLayout::Kind::kStruct ||
      is.kind != TypeLayout::Kind::kStruct || was.size != is.size ||
      was.alignment != is.alignment ||
      was.is_passed_by_address != is.is_passed_by_address ||
      was.has_virtual_base || is.has_virtual_base ||
      was.functions != is.functions) {
    return false;
  }
  const Leaves old_leaves = LeavesOf(was);
  const Leaves new_leaves = LeavesOf(is);
  if (old_leaves.all.size() != new_leaves.all.size()) return false;
  for (std::size_t i = 0; i < old_leaves.all.size(); ++i) {
    const Leaf& a = old_leaves.all[i];
    const Leaf& b = new_leaves.all[i];
    if (!IsSameLeaf(a, b)) return false;
    if (a.path != b.path &&
        !IsSameInOtherGroups(a, b, old_leaves, new_leaves)) {
      return false;
    }
  }
  return std::all_of(old_leaves.groups.begin(), old_leaves.groups.end(),
                     [&new_leaves](const auto& group) {
                       const auto now = new_leaves.groups.find(group.first);
                       return now == new_leaves.groups.end() ||
                              now->second == group.second;
                     });
}

bool HasSameParts(const TypeLayout& a, const TypeLayout& b) {
  return HasSameParts(a.members, b.members);
}

}  // namespace differ
}  // namespace instar
