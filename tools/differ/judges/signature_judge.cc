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
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

// A function of which the signature has changed.
struct Changed {
  std::string was;
  std::string is;
};

using Signatures = std::vector<FunctionSignature>;

// Of each unit of this build: of several functions in one section, more than
// one.
std::map<const Unit*, Signatures> SignaturesByUnit(const Comparison& comparison,
                                                   bool is_new,
                                                   DebugAnswers& debug) {
  std::map<const Unit*, Signatures> result;
  for (const ObjectPair& pair : comparison.pairs()) {
    const Object* const object = is_new ? pair.new_object : pair.old_object;
    const ObjectDebugInfo* const info =
        object == nullptr ? nullptr : debug.InfoOf(*object);
    if (info == nullptr) continue;
    for (FunctionSignature& signature : SignaturesOf(*info)) {
      const Unit* const unit = object->UnitOf(signature.place.section);
      if (unit != nullptr) result[unit].push_back(std::move(signature));
    }
  }
  return result;
}

// A function that has an alias, or another one before, may be found by another
// of its names; what is alone in its section is the same all the same.
const FunctionSignature* SignatureBefore(const FunctionSignature& signature,
                                         const Signatures& before) {
  const auto found =
      std::find_if(before.begin(), before.end(), [&](const auto& other) {
        return other.linkage_name == signature.linkage_name;
      });
  if (found != before.end()) return &*found;
  return before.size() == 1 ? &before.front() : nullptr;
}

Changed Describe(const FunctionSignature& was, const FunctionSignature& is) {
  Changed changed = {ToString(was), ToString(is)};
  if (was.has_this != is.has_this) {
    std::string& of_static = was.has_this ? changed.is : changed.was;
    of_static.insert(0, "static ");
  }
  return changed;
}

// By their units of the old build, wherever they were.
std::map<const Unit*, Changed> ChangedSignatures(const Comparison& comparison,
                                                 DebugAnswers& debug) {
  std::map<const Unit*, Changed> result;
  const auto before = SignaturesByUnit(comparison, false, debug);
  for (const auto& [unit, signatures] :
       SignaturesByUnit(comparison, true, debug)) {
    const auto found = before.find(unit->old);
    if (found == before.end()) continue;
    for (const FunctionSignature& is : signatures) {
      const FunctionSignature* const was = SignatureBefore(is, found->second);
      if (was != nullptr && !MayCallAs(*was, is)) {
        result[unit->old] = Describe(*was, is);
      }
    }
  }
  return result;
}

// Who calls what has changed, as the references of the old build tell.
class Callers {
 public:
  Callers(const std::map<const Unit*, Changed>& changed,
          const Comparison& comparison)
      : changed_(changed), comparison_(comparison) {
    for (const auto& entry : changed) {
      Name(*entry.first, &entry.second);
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
  // By all of its names that others know.
  void Name(const Unit& unit, const Changed* callee) {
    for (const Symbol* symbol : unit.symbols) {
      if (!symbol->is_local()) by_name_[std::string(symbol->name)] = callee;
    }
  }

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
          Name(*unit, callee);
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

void RefuseKept(const Unit& user, const Changed& callee, Findings& findings) {
  findings.Refuse(
      user.object->name(),
      absl::StrCat(Demangle(user.name), " keeps the address of ", callee.was,
                   ", which is ", callee.is,
                   " now: who calls it by that is not known. Give the new "
                   "function another name"));
}

// What its callers of the old build do not tell.
void JudgeByItself(const Unit& function, const Changed& changed,
                   const std::set<std::string>& still_called,
                   Findings& findings) {
  if (!OwnAddressesIn(function, function.main()).empty()) {
    RefuseKept(function, changed, findings);
  }
  for (const Symbol* symbol : function.symbols) {
    if (still_called.count(std::string(symbol->name)) == 0) continue;
    findings.Refuse(
        function.object->name(),
        absl::StrCat("code that was there before an earlier update may call ",
                     changed.is, " as if it were ", changed.was,
                     ". Give the new function another name"));
    return;
  }
}

}  // namespace

SignatureJudgement JudgeSignatures(const Comparison& comparison,
                                   const LastingCode& lasting,
                                   const std::set<std::string>& still_called,
                                   DebugAnswers& debug, Findings& findings) {
  const std::map<const Unit*, Changed> changed =
      ChangedSignatures(comparison, debug);
  SignatureJudgement result;
  if (changed.empty()) return result;
  for (const auto& entry : changed) {
    result.changed.insert(entry.first);
    findings.Note(
        entry.first->object->name(),
        absl::StrCat("signature: ", entry.second.was, " -> ", entry.second.is));
    JudgeByItself(*entry.first, entry.second, still_called, findings);
  }
  const auto with_new_version = comparison.WithNewVersion();
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
              (!IsFieldOfCall(*part, relocation) &&
               !callers.IsTable(*pair.old_object, relocation))) {
            RefuseKept(*user, *callee, findings);
            continue;
          }
          if (!seen.insert(user.get()).second) continue;
          const std::string why = lasting.WhyLasting(*user);
          if (!why.empty()) {
            findings.Refuse(
                pair.old_object->name(),
                absl::StrCat(Demangle(user->name), " ", why,
                             ", and would call ", callee->is, " as if it were ",
                             callee->was,
                             ". Give the new function another name"));
          } else if (!with_new_version.contains(user.get())) {
            result.watched.push_back(user.get());
          }
        }
      }
    }
  }
  return result;
}

}  // namespace differ
}  // namespace instar
