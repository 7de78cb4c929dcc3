// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <iterator>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/comparison.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

// Whether each thread runs it before it uses the object's thread_local
// variables (Itanium C++ ABI 3.3.3).
bool InitializesThreadLocals(const Unit& unit) {
  return unit.is_function() &&
         std::any_of(unit.symbols.begin(), unit.symbols.end(),
                     [](const Symbol* symbol) {
                       return symbol->name == "__tls_init" ||
                              absl::StartsWith(symbol->name, "_ZTH");
                     });
}

}  // namespace

// What the changes mean for the program.

// Whether it has pointers, and more than one thing, or is an array, but for a
// text: a list of names, functions or limits, say, that is written down in the
// source and nowhere else. Of another variable the value may be what the
// program has made of it.
bool Comparison::IsTable(const Unit& variable) const {
  if (variable.main().size <= sizeof(void*)) return false;
  if (!variable.main().relocations.empty()) return true;
  const std::string type = ScopeOf(variable).type;
  const bool is_text = absl::StartsWith(type, "char[") &&
                       std::count(type.begin(), type.end(), '[') == 1;
  return absl::EndsWith(type, "]") && !is_text;
}

void Comparison::Judge() {
  for (const ObjectPair& pair : pairs_) {
    if (pair.new_object == nullptr) continue;
    for (const auto& unit : pair.new_object->units()) {
      if (unit->is_anonymous()) continue;
      if (unit->is_variable() && unit->status == UnitStatus::kChanged &&
          IsInOwnSection(*unit) &&
          unit->main().size != unit->old->main().size) {
        findings_.Refuse(
            pair.new_object->name(),
            absl::StrCat("section ", unit->main().name, ": ",
                         unit->old->main().size, " -> ", unit->main().size,
                         " bytes. The program walks it as an array that the "
                         "linker has made, and would not find what is new"));
      } else if (unit->is_compound && unit->status == UnitStatus::kChanged) {
        findings_.Refuse(
            pair.new_object->name(),
            absl::StrCat(
                unit->main().name, " has changed (", unit->why,
                "), and holds several ",
                unit->is_function()
                    ? "functions: compile both builds with -ffunction-sections"
                    : "variables: compile both builds with -fdata-sections"));
      } else if (InitializesThreadLocals(*unit) &&
                 unit->status != UnitStatus::kSame) {
        findings_.Refuse(
            pair.new_object->name(),
            "thread_local variables get initializers that run, or other ones, "
            "and threads that exist have run theirs. Initialize the new ones "
            "by constants, or put them into functions, as static thread_local");
      } else if (unit->is_variable()) {
        JudgeVariable(*unit);
      }
    }
    for (const auto& unit : pair.new_object->units()) {
      if (unit->is_function() && unit->status == UnitStatus::kChanged) {
        NoteGuarded(*unit);
      }
    }
    JudgeStartAndEnd(pair);
  }
  JudgeUnusedVariables();
  for (const Unit* unit : gone_) {
    if (unit->is_initializer()) continue;
    findings_.Note(
        unit->object->name(),
        absl::StrCat(unit->is_function() ? "function " : "variable ",
                     Demangle(unit->name), " is gone: the program keeps it"));
  }
}

// Functions that have the attribute `constructor` or `destructor`.
void Comparison::JudgeStartAndEnd(const ObjectPair& pair) {
  const auto had = [&](const std::vector<const Unit*>& of_old,
                       const Unit* unit) {
    return unit->old != nullptr && unit->old->object == pair.old_object &&
           std::find(of_old.begin(), of_old.end(), unit->old) != of_old.end();
  };
  const std::vector<const Unit*> none;
  const bool is_new = pair.old_object == nullptr;
  for (const Unit* unit : pair.new_object->constructors()) {
    if (unit->status == UnitStatus::kSame &&
        had(is_new ? none : pair.old_object->constructors(), unit)) {
      continue;
    }
    findings_.Warn(pair.new_object->name(),
                   absl::StrCat(Demangle(unit->name),
                                " runs when a program starts, which has "
                                "been: it does not run for the update"));
  }
  for (const Unit* unit : pair.new_object->destructors()) {
    if (had(is_new ? none : pair.old_object->destructors(), unit)) continue;
    findings_.Warn(pair.new_object->name(),
                   absl::StrCat(Demangle(unit->name),
                                " runs when a program ends, and this one was "
                                "started without it: it does not run for the "
                                "update. atexit() does"));
  }
}

// As the table of modules that a configuration writes has not got a new one.
void Comparison::JudgeUnusedVariables() {
  std::set<absl::string_view> used;
  std::set<const Unit*> used_units;
  for (const ObjectPair& pair : pairs_) {
    if (pair.new_object == nullptr) continue;
    for (const auto& unit : pair.new_object->units()) {
      for (const Section* part : unit->parts) {
        for (const Relocation& relocation : part->relocations) {
          const Unit* target = pair.new_object->TargetOf(relocation);
          if (target == nullptr) {
            used.insert(pair.new_object->SymbolOf(relocation).name);
          } else if (target != unit.get()) {
            used_units.insert(target);
          }
        }
      }
    }
  }
  for (const ObjectPair& pair : pairs_) {
    if (pair.new_object == nullptr) continue;
    for (const auto& unit : pair.new_object->units()) {
      if (!unit->is_variable() || unit->status != UnitStatus::kNew ||
          unit->is_separate || !unit->is_global() ||
          !unit->main().group.empty() || IsInOwnSection(*unit) ||
          IsVirtualTable(unit->name) || IsTypeInfo(unit->name) ||
          used_units.count(unit.get()) != 0 ||
          used.count(unit->global_name()) != 0) {
        continue;
      }
      findings_.Warn(
          pair.new_object->name(),
          absl::StrCat("variable ", Demangle(unit->name),
                       " is new, and nothing uses it. If a list should have "
                       "it, its object has not been built anew"));
    }
  }
}

// Whether a static variable of a function is initialized by its first call
// (Itanium C++ ABI 3.3.2).
bool Comparison::HasGuard(const Unit& variable) {
  if (!absl::StartsWith(variable.name, "_ZZ")) return false;
  const std::string guard = absl::StrCat("_ZGV", variable.name.substr(2));
  const auto& units = variable.object->units();
  return std::any_of(units.begin(), units.end(),
                     [&](const auto& unit) { return unit->name == guard; });
}

void Comparison::JudgeVariable(const Unit& unit) {
  const std::string readable = Demangle(unit.name);
  const std::string& object = unit.object->name();
  if (unit.status == UnitStatus::kNew) {
    if (absl::StartsWith(unit.name, "_ZGV")) JudgeGuard(unit);
    if (IsInOwnSection(unit) && !unit.is_separate) {
      findings_.Refuse(
          object, absl::StrCat("variable ", readable, " is new in section ",
                               unit.main().name,
                               ", which the program walks as an array: it "
                               "would not find it"));
    }
    return;
  }
  if (unit.status != UnitStatus::kChanged) return;
  if (IsVirtualTable(unit.name)) {
    findings_.Refuse(object, absl::StrCat(readable, " has changed (", unit.why,
                                          "): objects that exist have the old "
                                          "one. Update the class by hand"));
  } else if (IsTypeInfo(unit.name)) {
    findings_.Refuse(object,
                     absl::StrCat(readable, " has changed (", unit.why, ")"));
  } else if (!unit.is_constant()) {
    if (unit.old->main().size != unit.main().size) {
      findings_.Refuse(
          object,
          absl::StrCat("variable ", readable, ": ", unit.old->main().size,
                       " -> ", unit.main().size,
                       " bytes, and the program's has no more room. Put what "
                       "is new into a variable of its own"));
    } else if (unit.old->is_constant()) {
      findings_.Refuse(
          object,
          absl::StrCat("variable ", readable,
                       " is written now, and the program has it where nothing "
                       "can be written. Put it into a variable of another "
                       "name"));
    } else if (unit.main().alignment > unit.old->main().alignment) {
      findings_.Refuse(
          object,
          absl::StrCat("variable ", readable, " is to be aligned to ",
                       unit.main().alignment, " bytes in place of ",
                       unit.old->main().alignment,
                       ", and the program's stays where it is. Put it into a "
                       "variable of another name"));
    } else if (unit.old->main().flags != unit.main().flags &&
               unit.main().Has(SHF_TLS) != unit.old->main().Has(SHF_TLS)) {
      findings_.Refuse(object,
                       absl::StrCat("variable ", readable,
                                    " is thread_local in one build only"));
    } else if (HasGuard(*unit.old) && !HasGuard(unit)) {
      findings_.Refuse(
          object,
          absl::StrCat("variable ", readable,
                       " was initialized by the first call, and is from the "
                       "start now: if there has been no call it is still "
                       "zero, and would stay so. Keep the initializer, or "
                       "give the new one another name"));
    } else if (IsTable(unit)) {
      findings_.Refuse(
          object,
          absl::StrCat("variable ", readable, " has other contents (", unit.why,
                       "), and the program keeps the old ones. Put the new "
                       "ones into a variable of its own"));
    } else {
      findings_.Warn(object,
                     absl::StrCat("variable ", readable,
                                  " keeps its value: only its initial value "
                                  "has changed (",
                                  unit.why, ")"));
    }
  } else {
    if (unit.is_global()) changed_constants_.push_back(&unit);
    findings_.Note(
        object, absl::StrCat("constant ", readable, " has changed (", unit.why,
                             "): functions that use it get the new "
                             "one, pointers to the old one stay"));
  }
}

// Static variables of a changed function that have been initialized, or are by
// the next call of it.
void Comparison::NoteGuarded(const Unit& function) {
  std::set<std::string> variables;
  for (const Section* part : function.parts) {
    for (const Relocation& relocation : part->relocations) {
      const Unit* const guard = function.object->TargetOf(relocation);
      if (guard != nullptr && guard->old != nullptr &&
          absl::StartsWith(guard->name, "_ZGV")) {
        variables.insert(Demangle(absl::StrCat("_Z", guard->name.substr(4))));
      }
    }
  }
  for (const std::string& variable : variables) {
    findings_.Note(
        function.object->name(),
        absl::StrCat("variable ", variable,
                     " keeps its value if it has been initialized: another "
                     "initializer does not run again"));
  }
}

// What tells whether a static variable of a function has been initialized
// (Itanium C++ ABI 3.3.2): a new one says that it has not.
void Comparison::JudgeGuard(const Unit& unit) {
  if (unit.is_separate) return;
  const std::string guarded = absl::StrCat("_Z", unit.name.substr(4));
  for (const auto& variable : unit.object->units()) {
    if (variable->name != guarded || variable->old == nullptr) continue;
    findings_.Refuse(
        unit.object->name(),
        absl::StrCat("variable ", Demangle(guarded),
                     " has an initializer that runs now, and would be "
                     "initialized again, over the value that the program has. "
                     "Initialize it by a constant, or give the new one another "
                     "name"));
  }
}

}  // namespace differ
}  // namespace instar
