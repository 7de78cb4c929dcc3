// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/named_by_line.h"

#include <dwarf.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tools/differ/dwarf/expressions.h"
#include "tools/differ/dwarf/number_each.h"

namespace instar {
namespace differ {
namespace {

// The name with "#" in place of the number; empty: it does not have it.
std::string WithoutNumber(absl::string_view name, std::uint64_t number) {
  const std::string digits = absl::StrCat(number);
  const std::size_t at = name.rfind(digits);
  if (at == 0 || at == absl::string_view::npos ||
      absl::ascii_isdigit(name[at - 1])) {
    return "";
  }
  const absl::string_view rest = name.substr(at + digits.size());
  if (!rest.empty() && absl::ascii_isdigit(rest[0])) return "";
  return absl::StrCat(name.substr(0, at), "#", rest);
}

// The number of the line is replaced; nothing: it is not in the name.
std::string NameByLineOf(const DieTree& dies, DieIndex die) {
  const char* const name = dies.NameOf(dies.RootOf(die));
  const auto line = dies.ConstantOf(die, DW_AT_decl_line);
  return name == nullptr || !line ? "" : WithoutNumber(name, *line);
}

// Also if that is in the name of a function that it is in: "h_#/count".
std::string FullNameByLineOf(const DieTree& dies, DieIndex die) {
  const DieIndex root = dies.RootOf(die);
  const char* const own = dies.NameOf(root);
  if (own == nullptr) return "";
  std::string by_line = NameByLineOf(dies, die);
  bool is_by_line = !by_line.empty();
  std::string full = is_by_line ? std::move(by_line) : own;
  for (DieIndex at = dies[root].parent; at != kNoDie; at = dies[at].parent) {
    if (dies[at].tag != DW_TAG_subprogram) continue;
    const char* const name = dies.NameOf(dies.RootOf(at));
    by_line = NameByLineOf(dies, at);
    is_by_line |= !by_line.empty();
    full = absl::StrCat(
        !by_line.empty() ? by_line : std::string(name == nullptr ? "" : name),
        "/", full);
  }
  return is_by_line ? full : "";
}

// Nothing: it has no place.
std::optional<ObjectPlace> PlaceOf(const ObjectDebugInfo& object,
                                   DieIndex die) {
  const DieTree& dies = object.dies();
  if (dies[die].tag == DW_TAG_subprogram) {
    const auto code = object.CodeOf(die);
    if (code.empty()) return std::nullopt;
    return code.front().begin;
  }
  const std::optional<StaticLocation> at = StaticLocationOf(dies, die);
  if (!at.has_value()) return std::nullopt;
  return ObjectDebugInfo::PlaceOf(at->address);
}

}  // namespace

std::map<std::uint32_t, NamedByLine> NamedByLineIn(
    const ObjectDebugInfo& object) {
  std::map<std::uint32_t, NamedByLine> found;
  const DieTree& dies = object.dies();
  for (DieIndex die = 0; die < dies.size(); ++die) {
    const auto tag = dies[die].tag;
    if (tag != DW_TAG_subprogram && tag != DW_TAG_variable) continue;
    NamedByLine named;
    named.name = FullNameByLineOf(dies, die);
    if (named.name.empty()) continue;
    const std::optional<ObjectPlace> place = PlaceOf(object, die);
    // What the compiler has made of a lambda has no line of its own.
    DieIndex declared = die;
    while (declared != kNoDie &&
           !dies.ConstantOf(declared, DW_AT_decl_line).has_value()) {
      declared = dies[dies.RootOf(declared)].parent;
    }
    if (!place.has_value() || declared == kNoDie) continue;
    named.line = static_cast<int>(*dies.ConstantOf(declared, DW_AT_decl_line));
    named.file = object.DeclaredIn(declared);
    if (tag == DW_TAG_subprogram) absl::StrAppend(&named.name, "()");
    found.emplace(place->section, std::move(named));
  }
  std::map<std::string, std::vector<NamedByLine*>> groups;
  for (auto& entry : found) {
    groups[entry.second.name].push_back(&entry.second);
  }
  NumberEach(&groups, [](const NamedByLine* a, const NamedByLine* b) {
    return a->line < b->line;
  });
  return found;
}

}  // namespace differ
}  // namespace instar
