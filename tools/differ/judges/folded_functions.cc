// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/judges/folded_functions.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "code/symbols/images/symbol_name.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

// What has its entry at one address of the program.
struct AtEntry {
  std::vector<const Symbol*> symbols;  // of the program
  std::vector<const Unit*> units;      // of the old build, where it is known
};

bool HasName(const Unit& function, absl::string_view name) {
  return std::any_of(
      function.symbols.begin(), function.symbols.end(),
      [&](const Symbol* symbol) { return symbol->name == name; });
}

// Whether they are one function of the program: copies of what is inline, of
// which the linker keeps one.
bool AreCopies(const Unit& a, const Unit& b) {
  return a.is_global() && b.is_global() &&
         (HasName(b, a.name) || Demangle(a.name) == Demangle(b.name));
}

// Another function that is there; nothing if there is none.
std::optional<std::string> OtherAt(
    const AtEntry& entry, const Unit& function,
    const absl::flat_hash_set<std::string>& old_defined) {
  for (const Unit* unit : entry.units) {
    if (unit != &function && !AreCopies(function, *unit)) return unit->name;
  }
  bool is_found = false;
  for (const Symbol* symbol : entry.symbols) {
    if (HasName(function, symbol->name)) {
      // A second one of that name that is known in its file alone.
      if (symbol->name != function.name || !symbol->is_local()) continue;
      if (is_found) return std::string(symbol->name);
      is_found = true;
      continue;
    }
    // Constructors that are one have several names, in some objects. What no
    // object defines is another name that the linker was told.
    if (Demangle(symbol->name) != Demangle(function.name) &&
        (symbol->is_local() || old_defined.contains(symbol->name))) {
      return std::string(symbol->name);
    }
  }
  return std::nullopt;
}

}  // namespace

void JudgeFolded(const Comparison& comparison,
                 const absl::flat_hash_map<const Unit*, Place>& place_of,
                 const LinkedImage& target,
                 const absl::flat_hash_set<std::string>& old_defined,
                 Findings& findings) {
  absl::flat_hash_map<std::uint64_t, AtEntry> at;
  for (const auto& [unit, place] : place_of) {
    if (unit->is_function() && place.image == 0) {
      at[place.address + unit->entry].units.push_back(unit);
    }
  }
  for (const Symbol& symbol : target.elf().symbols()) {
    if (symbol.type != STT_FUNC || symbol.section == kUndefined ||
        symbol.size == 0) {
      continue;
    }
    const auto entry = at.find(symbol.value);
    if (entry != at.end()) entry->second.symbols.push_back(&symbol);
  }
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.new_object == nullptr) continue;
    for (const auto& unit : pair.new_object->units()) {
      if (!unit->is_function() || unit->status != UnitStatus::kChanged) {
        continue;
      }
      const auto place = place_of.find(unit->old);
      if (place == place_of.end() || place->second.image != 0) continue;
      const auto other = OtherAt(at[place->second.address + unit->old->entry],
                                 *unit->old, old_defined);
      if (!other) continue;
      findings.Refuse(
          pair.new_object->name(),
          absl::StrCat(Demangle(unit->name),
                       " has changed, and the program's linker has folded it "
                       "with ",
                       *other == unit->old->name ? "another file's " : "",
                       Demangle(*other),
                       ", which had the same code: both would change. Link "
                       "the program without --icf"));
    }
  }
}

}  // namespace differ
}  // namespace instar
