// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/judges/start_judge.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/judges/never_left.h"
#include "tools/differ/object.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

// Who refers to each unit of the old build.
std::map<const Unit*, std::set<const Unit*>> UsersIn(
    const Comparison& comparison) {
  std::map<std::string, const Unit*> by_name;
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.old_object == nullptr) continue;
    for (const auto& unit : pair.old_object->units()) {
      if (unit->is_global()) {
        by_name.emplace(std::string(unit->global_name()), unit.get());
      }
    }
  }
  std::map<const Unit*, std::set<const Unit*>> users;
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.old_object == nullptr) continue;
    for (const auto& user : pair.old_object->units()) {
      for (const Section* part : user->parts) {
        for (const Relocation& relocation : part->relocations) {
          const Unit* target = pair.old_object->TargetOf(relocation);
          if (target == nullptr) {
            const auto named = by_name.find(
                std::string(pair.old_object->SymbolOf(relocation).name));
            if (named != by_name.end()) target = named->second;
          }
          if (target != nullptr && target != user.get()) {
            users[target].insert(user.get());
          }
        }
      }
    }
  }
  return users;
}

// The one that is never left, if nothing else uses the function; else null.
const Unit* OnlyUser(const std::set<const Unit*>& users) {
  for (const Unit* user : users) {
    if (!user->is_function() || !IsNeverLeft(*user)) return nullptr;
  }
  return users.empty() ? nullptr : *users.begin();
}

// Each object that knows an inline variable has its initializer, which the
// first one that runs does, and a guard for the others.
bool IsInProgram(const Unit& variable, const StartNames& names) {
  return !variable.main().group.empty() &&
         names.defined.contains(variable.global_name());
}

void JudgeInitializer(const Unit& unit, const StartNames& names,
                      Findings& findings) {
  if (unit.status == UnitStatus::kSame) return;
  const std::string& object = unit.object->name();
  std::set<std::string> refused;
  bool has_nothing_to_do = unit.status == UnitStatus::kNew;
  for (const Section* part : unit.parts) {
    for (const Relocation& relocation : part->relocations) {
      const Unit* target = unit.object->TargetOf(relocation);
      if (target == nullptr || !target->is_variable()) continue;
      // What <iostream> brings into each file that includes it: the loader has
      // std::cout and the others initialized.
      if (target->name == "_ZStL8__ioinit") continue;
      if (target->status == UnitStatus::kNew && IsInProgram(*target, names)) {
        continue;
      }
      has_nothing_to_do = false;
      if (target->status == UnitStatus::kNew) {
        refused.insert(Demangle(target->name));
      }
    }
  }
  if (has_nothing_to_do) return;
  for (const std::string& name : refused) {
    findings.Refuse(
        object,
        absl::StrCat("variable ", name,
                     " is new and has an initializer that runs when a program "
                     "starts. Initialize it by a constant, or make it a static "
                     "variable of a function that returns it"));
  }
  findings.Warn(
      object, absl::StrCat("static initializers have changed (",
                           unit.status == UnitStatus::kNew ? std::string("new")
                                                           : unit.why,
                           "): they do not run again"));
}

}  // namespace

void JudgeStart(const Comparison& comparison, const StartNames& names,
                Findings& findings) {
  const auto users = UsersIn(comparison);
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.new_object == nullptr) continue;
    std::vector<std::string> variables;
    for (const auto& unit : pair.new_object->units()) {
      if (unit->is_initializer()) JudgeInitializer(*unit, names, findings);
      if (unit->is_variable() && unit->status == UnitStatus::kNew &&
          !unit->is_constant() && !unit->is_separate &&
          unit->main().group.empty() && !absl::StartsWith(unit->name, "_ZGV")) {
        variables.push_back(Demangle(unit->name));
      }
      if (!unit->is_function() || unit->status != UnitStatus::kChanged ||
          names.used_elsewhere.contains(unit->old->global_name())) {
        continue;
      }
      const auto of_unit = users.find(unit->old);
      const Unit* const user =
          of_unit == users.end() ? nullptr : OnlyUser(of_unit->second);
      if (user == nullptr) continue;
      findings.Note(
          pair.new_object->name(),
          absl::StrCat("only ", Demangle(user->name), " uses ",
                       Demangle(unit->name),
                       ", and is never left: what that has done once, when the "
                       "program started, it does not do again"));
    }
    if (!variables.empty()) {
      findings.Note(
          pair.new_object->name(),
          absl::StrCat("new variables start with their first values (",
                       Listed(variables),
                       "): where these are wrong for what the "
                       "program has done, a hook can set them"));
    }
  }
}

}  // namespace differ
}  // namespace instar
