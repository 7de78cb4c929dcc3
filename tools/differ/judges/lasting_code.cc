// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/judges/lasting_code.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

// What a unit refers to: a unit of its object, or else a name.
struct Reference {
  const Unit* unit;
  absl::string_view name;
  bool is_address;  // it is no call
};

// Whether a reference to a function leads to one of its entries: the tables of
// a switch lead to the inside.
bool IsToEntry(const Object& object, const Relocation& relocation,
               const Unit& function) {
  const Symbol& to = object.SymbolOf(relocation);
  const bool is_by_table = relocation.type == R_X86_64_GOTPCREL ||
                           relocation.type == R_X86_64_GOTPCRELX ||
                           relocation.type == R_X86_64_REX_GOTPCRELX;
  const std::uint64_t offset =
      is_by_table ? to.value : OffsetInTarget(object, relocation);
  return to.section == function.main().index &&
         std::any_of(function.symbols.begin(), function.symbols.end(),
                     [&](const Symbol* symbol) {
                       return symbol->section == to.section &&
                              symbol->value == offset;
                     });
}

std::vector<Reference> ReferencesOf(const Unit& unit) {
  std::vector<Reference> references;
  const Object& object = *unit.object;
  for (const Section* part : unit.parts) {
    for (const Relocation& relocation : part->relocations) {
      const Symbol& symbol = object.SymbolOf(relocation);
      const Unit* const target = object.UnitOf(symbol.section);
      if ((target == nullptr && symbol.is_local()) ||
          (target != nullptr && target->is_function() &&
           !IsToEntry(object, relocation, *target))) {
        continue;
      }
      references.push_back(
          {target, symbol.name,
           !unit.is_function() || !IsFieldOfCall(*part, relocation)});
    }
  }
  if (unit.is_function() && !OwnAddressesIn(unit, unit.main()).empty()) {
    references.push_back({&unit, unit.name, true});
  }
  return references;
}

template <typename Visit>
void VisitNames(const Reference& reference, const Visit& visit) {
  if (reference.unit == nullptr) {
    visit(reference.name);
  } else if (reference.unit->is_function()) {
    for (const Symbol* symbol : reference.unit->symbols) visit(symbol->name);
  }
}

// Names of functions whose address is taken, and other names of which it is not
// known that they are none.
std::set<absl::string_view> AddressesTaken(const Object& object) {
  std::set<absl::string_view> names;
  for (const auto& unit : object.units()) {
    for (const Reference& reference : ReferencesOf(*unit)) {
      if (!reference.is_address) continue;
      VisitNames(reference,
                 [&](absl::string_view name) { names.insert(name); });
    }
  }
  // What runs when the program ends.
  for (const Section& section : object.elf().sections()) {
    if (!absl::StartsWith(section.name, ".fini_array")) continue;
    for (const Relocation& relocation : section.relocations) {
      const Reference reference = {object.TargetOf(relocation),
                                   object.SymbolOf(relocation).name, true};
      VisitNames(reference,
                 [&](absl::string_view name) { names.insert(name); });
    }
  }
  return names;
}

}  // namespace

LastingCode::LastingCode(const Comparison& comparison, WhyActive why_active,
                         const std::set<std::string>& still_called)
    : comparison_(comparison), why_active_(std::move(why_active)) {
  FindUnitsWithoutNewVersion();
  for (const ObjectPair& pair : comparison_.pairs()) {
    if (pair.new_object == nullptr) continue;
    for (const auto& unit : pair.new_object->units()) {
      if (!unit->is_function() || unit->status != UnitStatus::kChanged)
        continue;
      std::string why = why_active_(*unit->old);
      if (!why.empty()) Follow(*unit->old, std::move(why));
    }
  }
  FindKept(still_called);
}

// Functions of a COMDAT group may be another object's. Hooks, and what runs at
// start, have run.
void LastingCode::FindUnitsWithoutNewVersion() {
  const auto matched = comparison_.WithNewVersion();
  absl::flat_hash_set<absl::string_view> shared;
  for (const ObjectPair& pair : comparison_.pairs()) {
    if (pair.new_object == nullptr) continue;
    for (const auto& unit : pair.new_object->units()) {
      if (!unit->main().group.empty() && !unit->is_separate) {
        shared.insert(unit->name);
      }
    }
  }
  for (const ObjectPair& pair : comparison_.pairs()) {
    if (pair.old_object == nullptr) continue;
    for (const auto& unit : pair.old_object->units()) {
      if (unit->is_function()) {
        if (matched.contains(unit.get()) || unit->is_initializer() ||
            IsHook(*unit) ||
            (!unit->main().group.empty() && shared.contains(unit->name))) {
          continue;
        }
        without_new_version_.insert(unit.get());
      } else if (!unit->is_constant()) {
        continue;
      }
      for (const Symbol* symbol : unit->symbols) {
        if (!symbol->is_local()) by_name_.emplace(symbol->name, unit.get());
      }
    }
  }
}

void LastingCode::FindKept(const std::set<std::string>& still_called) {
  std::set<std::string> taken;
  std::set<std::string> taken_by_new;
  std::map<const Object*, std::set<absl::string_view>> taken_in;
  for (const ObjectPair& pair : comparison_.pairs()) {
    if (pair.new_object != nullptr) {
      for (const absl::string_view name : AddressesTaken(*pair.new_object)) {
        taken_by_new.emplace(name);
      }
    }
    if (pair.old_object != nullptr) {
      taken_in[pair.old_object] = AddressesTaken(*pair.old_object);
      for (const absl::string_view name : taken_in[pair.old_object]) {
        taken.emplace(name);
      }
    }
  }
  std::set_difference(taken.begin(), taken.end(), taken_by_new.begin(),
                      taken_by_new.end(),
                      std::inserter(still_called_, still_called_.end()));
  for (const ObjectPair& pair : comparison_.pairs()) {
    if (pair.old_object == nullptr) continue;
    for (const auto& unit : pair.old_object->units()) {
      if (!without_new_version_.contains(unit.get())) continue;
      std::string why = why_active_(*unit);
      const auto is_any = [&](const auto& fits) {
        return std::any_of(unit->symbols.begin(), unit->symbols.end(), fits);
      };
      if (why.empty() && is_any([&](const Symbol* symbol) {
            return symbol->is_local()
                       ? taken_in[pair.old_object].count(symbol->name) != 0
                       : taken.count(std::string(symbol->name)) != 0;
          })) {
        why = "has no new version, and pointers to it may have been kept";
      }
      if (why.empty() && is_any([&](const Symbol* symbol) {
            return still_called.count(std::string(symbol->name)) != 0;
          })) {
        why =
            "has no new version, and code that was there before an earlier "
            "update may call it";
      }
      if (!why.empty()) Follow(*unit, std::move(why));
    }
  }
}

void LastingCode::Follow(const Unit& function, std::string why) {
  std::size_t at = lasting_.size();
  if (!index_of_.emplace(&function, at).second) return;
  lasting_.emplace_back(&function, std::move(why));
  // And those that are found on the way.
  for (; at < lasting_.size(); ++at) {
    FollowReferences(*lasting_[at].first, *lasting_[at].first);
  }
}

// Also through constants: tables of functions.
void LastingCode::FollowReferences(const Unit& unit, const Unit& function) {
  for (const Reference& reference : ReferencesOf(unit)) {
    VisitNames(reference,
               [&](absl::string_view name) { still_called_.emplace(name); });
    const Unit* target = reference.unit;
    if (target == nullptr) {
      const auto named = by_name_.find(reference.name);
      if (named == by_name_.end()) continue;
      target = named->second;
    }
    if (!target->is_function()) {
      if (target->is_constant() && followed_.insert(target).second) {
        FollowReferences(*target, function);
      }
    } else if (without_new_version_.contains(target) &&
               index_of_.emplace(target, lasting_.size()).second) {
      lasting_.emplace_back(
          target, absl::StrCat("has no new version, and may be called by ",
                               Demangle(function.name), ", which goes on"));
    }
  }
}

std::string LastingCode::WhyLasting(const Unit& function) const {
  const auto found = index_of_.find(&function);
  return found == index_of_.end() ? why_active_(function)
                                  : lasting_[found->second].second;
}

std::vector<std::pair<const Unit*, std::string>>
LastingCode::WithoutNewVersion() const {
  std::vector<std::pair<const Unit*, std::string>> result;
  for (const auto& function : lasting_) {
    if (without_new_version_.contains(function.first)) {
      result.push_back(function);
    }
  }
  return result;
}

}  // namespace differ
}  // namespace instar
