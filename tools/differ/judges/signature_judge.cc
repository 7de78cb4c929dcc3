// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/judges/signature_judge.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/dwarf/signatures.h"
#include "tools/differ/judges/never_left.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

// A function of which the signature has changed.
struct Changed {
  std::string was;
  std::string is;
  bool is_global;
};

// By their units of the old build. In C++ other parameters are another name.
std::map<const Unit*, Changed> ChangedSignatures(const Comparison& comparison,
                                                 DebugAnswers& debug) {
  std::map<const Unit*, Changed> result;
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.old_object == nullptr || pair.new_object == nullptr) continue;
    const ObjectDebugInfo* old_info = debug.InfoOf(*pair.old_object);
    const ObjectDebugInfo* new_info = debug.InfoOf(*pair.new_object);
    if (old_info == nullptr || new_info == nullptr) continue;
    std::map<std::string, FunctionSignature> was;
    for (FunctionSignature& signature : SignaturesOf(*old_info)) {
      const std::string name = signature.linkage_name;
      was.emplace(name, std::move(signature));
    }
    for (const FunctionSignature& signature : SignaturesOf(*new_info)) {
      const Unit* unit = pair.new_object->UnitOf(signature.place.section);
      if (unit == nullptr || unit->old == nullptr) continue;
      const auto found = was.find(unit->old->name);
      if (found == was.end()) continue;
      // Parameter types alone: names and attributes mean nothing to a caller.
      // Those of C++ are in its name, however they are spelled.
      if (found->second.return_type != signature.return_type ||
          (signature.is_unmangled &&
           (found->second.parameters != signature.parameters ||
            found->second.is_variadic != signature.is_variadic))) {
        result[unit->old] = {ToString(found->second), ToString(signature),
                             unit->is_global()};
      }
    }
  }
  return result;
}

// Whether the field is that of a call, or of a jump.
bool IsCall(const Section& code, const Relocation& relocation) {
  const auto byte = [&](std::uint64_t back) {
    return back > relocation.offset ? 0U
                                    : static_cast<unsigned char>(
                                          code.bytes[relocation.offset - back]);
  };
  switch (relocation.type) {
    case R_X86_64_PLT32:
    case R_X86_64_PC32:
      return byte(1) == 0xe8 || byte(1) == 0xe9 ||
             (byte(2) == 0x0f && (byte(1) & 0xf0U) == 0x80);
    case R_X86_64_GOTPCREL:
    case R_X86_64_GOTPCRELX:
    case R_X86_64_REX_GOTPCRELX:
      return byte(2) == 0xff && (byte(1) == 0x15 || byte(1) == 0x25);
    default:
      return false;
  }
}

// Who calls what has changed, as the references of the old build tell.
class Callers {
 public:
  Callers(const std::map<const Unit*, Changed>& changed,
          const Comparison& comparison)
      : changed_(changed), comparison_(comparison) {
    for (const auto& entry : changed) {
      if (entry.second.is_global) by_name_[entry.first->name] = &entry.second;
    }
    FindTables();
  }

  // Null: it leads to none of them, nor to a constant that does.
  const Changed* CalleeOf(const Object& object,
                          const Relocation& relocation) const {
    const Symbol& symbol = object.SymbolOf(relocation);
    const Unit* const target = object.UnitOf(symbol.section);
    if (target == nullptr) {
      const auto named = by_name_.find(std::string(symbol.name));
      return symbol.is_local() || named == by_name_.end() ? nullptr
                                                          : named->second;
    }
    const auto found = changed_.find(target);
    if (found != changed_.end()) return &found->second;
    const auto table = tables_.find(target);
    return table == tables_.end() ? nullptr : table->second;
  }

  bool IsTable(const Object& object, const Relocation& relocation) const {
    return tables_.count(object.TargetOf(relocation)) != 0;
  }

 private:
  // Constants that lead to one of them, also by other constants; those that
  // others know by their names included.
  void FindTables() {
    bool is_complete = false;
    while (!is_complete) {
      is_complete = true;
      for (const ObjectPair& pair : comparison_.pairs()) {
        if (pair.old_object == nullptr) continue;
        for (const auto& unit : pair.old_object->units()) {
          if (unit->is_function() || !unit->is_constant() ||
              tables_.count(unit.get()) != 0) {
            continue;
          }
          const Changed* const callee = FirstCalleeOf(*unit);
          if (callee == nullptr) continue;
          tables_[unit.get()] = callee;
          if (unit->is_global()) {
            by_name_[std::string(unit->global_name())] = callee;
          }
          is_complete = false;
        }
      }
    }
  }

  const Changed* FirstCalleeOf(const Unit& unit) const {
    for (const Relocation& relocation : unit.main().relocations) {
      const Changed* const callee = CalleeOf(*unit.object, relocation);
      if (callee != nullptr) return callee;
    }
    return nullptr;
  }

  const std::map<const Unit*, Changed>& changed_;
  const Comparison& comparison_;
  std::map<std::string, const Changed*> by_name_;
  std::map<const Unit*, const Changed*> tables_;
};

}  // namespace

std::vector<const Unit*> JudgeSignatures(const Comparison& comparison,
                                         DebugAnswers& debug,
                                         Findings& findings) {
  const std::map<const Unit*, Changed> changed =
      ChangedSignatures(comparison, debug);
  std::vector<const Unit*> watched;
  if (changed.empty()) return watched;
  for (const auto& entry : changed) {
    findings.Note(
        entry.first->object->name(),
        absl::StrCat("signature: ", entry.second.was, " -> ", entry.second.is));
  }
  std::map<const Unit*, const Unit*> new_of;
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.new_object == nullptr) continue;
    for (const auto& unit : pair.new_object->units()) {
      if (unit->old != nullptr) new_of[unit->old] = unit.get();
    }
  }
  const Callers callers(changed, comparison);
  std::set<const Unit*> seen;
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.old_object == nullptr) continue;
    for (const auto& user : pair.old_object->units()) {
      // Who uses a constant is seen; who calls by a virtual table is not.
      if (!user->is_function() && user->is_constant() &&
          !IsVirtualTable(user->name)) {
        continue;
      }
      for (const Section* part : user->parts) {
        for (const Relocation& relocation : part->relocations) {
          const Changed* callee =
              callers.CalleeOf(*pair.old_object, relocation);
          if (callee == nullptr) continue;
          if (!user->is_function() ||
              (!IsCall(*part, relocation) &&
               !callers.IsTable(*pair.old_object, relocation))) {
            findings.Refuse(
                pair.old_object->name(),
                absl::StrCat(Demangle(user->name), " keeps the address of ",
                             callee->was, ", which is ", callee->is,
                             " now: who calls it by that is not known. Give "
                             "the new function another name"));
            continue;
          }
          if (!seen.insert(user.get()).second) continue;
          const auto now = new_of.find(user.get());
          if (IsNeverLeft(*user)) {
            findings.Refuse(
                pair.old_object->name(),
                absl::StrCat(Demangle(user->name),
                             " is never left, and would call ", callee->is,
                             " as if it were ", callee->was,
                             ". Give the new function another name"));
          } else if (now == new_of.end()) {
            watched.push_back(user.get());
          }
        }
      }
    }
  }
  return watched;
}

}  // namespace differ
}  // namespace instar
