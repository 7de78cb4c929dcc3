// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/judges/variable_judge.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/object.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

bool IsJudged(const Unit& unit) {
  return unit.is_variable() && !unit.is_constant() && !unit.is_separate &&
         !absl::StartsWith(unit.name, "_ZGV");
}

// In the place of an object: nobody has had the variable.
constexpr char kNew[] = "(new)";

// A variable of one build, as all its objects have it.
struct Variable {
  std::string name;
  std::string object;  // empty: whoever uses this name means this one

  bool operator<(const Variable& other) const {
    return name != other.name ? name < other.name : object < other.object;
  }
};

Variable VariableOf(const Unit& unit) {
  if (unit.is_global()) return {std::string(unit.global_name()), ""};
  return {unit.name, unit.object->name()};
}

std::string Readable(const std::set<Variable>& variables) {
  return absl::StrJoin(
      variables, ", ", [](std::string* out, const Variable& one) {
        absl::StrAppend(out, Demangle(one.name),
                        one.object.empty() ? ""
                        : one.object == kNew
                            ? " as a new one"
                            : absl::StrCat(" of ", one.object));
      });
}

// "n.0" is a static variable of some function of C.
bool IsNumbered(const Unit& unit) {
  return !unit.is_global() && WithoutNumbers(unit.name) != unit.name;
}

// Whether it is left to another object.
bool Uses(const Object& object, absl::string_view name) {
  const std::vector<Symbol>& symbols = object.elf().symbols();
  return std::any_of(symbols.begin(), symbols.end(), [&](const Symbol& symbol) {
    return symbol.section == kUndefined && symbol.name == name;
  });
}

class Judge {
 public:
  Judge(const Comparison& comparison, const VariableNames& names)
      : comparison_(comparison), names_(names) {
    for (const ObjectPair& pair : comparison_.pairs()) {
      if (pair.new_object != nullptr) AddMatched(*pair.new_object);
    }
    for (const ObjectPair& pair : comparison_.pairs()) {
      if (pair.old_object == nullptr || pair.new_object == nullptr) continue;
      AddOtherLinkage(pair);
    }
    for (const std::string& name : names_.identical) {
      const Variable variable = {name, ""};
      if (old_of_.count(variable) != 0 || new_of_.count(variable) != 0) {
        Add(variable, variable);
      }
    }
  }

  void Report(Findings& findings) const {
    constexpr char kRemedy[] =
        ". Each has a value of its own, and which is meant is not known: give "
        "what is new another name";
    for (const auto& [variable, before] : old_of_) {
      if (before.size() < 2) continue;
      findings.Refuse(object_of_.at(variable),
                      absl::StrCat("variable ", Demangle(variable.name),
                                   " is one now, and was several (",
                                   Readable(before), ")", kRemedy));
    }
    for (const auto& [variable, now] : new_of_) {
      if (now.size() < 2) continue;
      findings.Refuse(object_of_.at(*now.begin()),
                      absl::StrCat("variable ", Demangle(variable.name),
                                   " was one, and is several now (",
                                   Readable(now), ")", kRemedy));
    }
  }

 private:
  void Add(const Variable& before, const Variable& now,
           const std::string& object = "") {
    old_of_[now].insert(before);
    new_of_[before].insert(now);
    object_of_.emplace(now, object);
  }

  void AddMatched(const Object& object) {
    for (const auto& unit : object.units()) {
      if (!IsJudged(*unit)) continue;
      const Variable now = VariableOf(*unit);
      if (unit->old != nullptr) {
        if (!unit->old->is_constant()) {
          Add(VariableOf(*unit->old), now, object.name());
        }
        matched_.insert(unit->old);
        if (unit->old->is_global()) {
          old_globals_.emplace(KeyOf(*unit->old), unit->old);
        }
        if (unit->is_global()) new_globals_.emplace(KeyOf(*unit), unit.get());
      } else if (!unit->main().group.empty() && unit->is_global()) {
        // One that other objects had before, or nobody.
        if (names_.old_defined.contains(now.name)) {
          Add(now, now, object.name());
        } else {
          Add({now.name, kNew}, now, object.name());
        }
      }
    }
  }

  // A static of this file, in whose place it uses another file's now, or the
  // reverse.
  void AddOtherLinkage(const ObjectPair& pair) {
    for (const auto& unit : pair.old_object->units()) {
      if (!IsJudged(*unit) || IsNumbered(*unit) ||
          matched_.count(unit.get()) != 0) {
        continue;
      }
      const auto found = new_globals_.find(KeyOf(*unit));
      if (found != new_globals_.end() &&
          Uses(*pair.new_object, found->second->global_name())) {
        Add(VariableOf(*unit), VariableOf(*found->second),
            pair.new_object->name());
      }
    }
    for (const auto& unit : pair.new_object->units()) {
      if (!IsJudged(*unit) || IsNumbered(*unit) || unit->old != nullptr ||
          unit->is_global()) {
        continue;
      }
      const auto found = old_globals_.find(KeyOf(*unit));
      if (found != old_globals_.end() &&
          Uses(*pair.old_object, found->second->global_name())) {
        Add(VariableOf(*found->second), VariableOf(*unit),
            pair.new_object->name());
      }
    }
  }

  const Comparison& comparison_;
  const VariableNames& names_;
  std::map<Variable, std::set<Variable>> old_of_;
  std::map<Variable, std::set<Variable>> new_of_;
  std::map<Variable, std::string> object_of_;
  // Matched ones that other files can use, by KeyOf().
  std::map<std::string, const Unit*> old_globals_;
  std::map<std::string, const Unit*> new_globals_;
  std::set<const Unit*> matched_;  // of the old build
};

}  // namespace

void JudgeVariables(const Comparison& comparison, const VariableNames& names,
                    Findings& findings) {
  Judge(comparison, names).Report(findings);
}

}  // namespace differ
}  // namespace instar
