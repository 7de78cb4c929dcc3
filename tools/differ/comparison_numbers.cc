// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/comparison.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

// All that is known of a variable but its name.
std::string ContentsOf(const Unit& variable) {
  const Section& section = variable.main();
  std::string contents = absl::StrCat(section.size, ",", section.alignment, ",",
                                      section.flags, ",", section.bytes);
  return contents;
}

}  // namespace

// What has a number in place of a name of its own: lambdas, local classes of
// one name, static variables of one name in one function.

void Comparison::Separate(Unit& unit) {
  unit.old = nullptr;
  unit.status = UnitStatus::kNew;
  unit.why.clear();
  unit.is_separate = true;
}

// Closures that exist go on with their code.
// `was_there`: the old build has a unit of that name, but for the number.
void Comparison::SeparateLambda(Unit& unit, bool was_there,
                                absl::string_view why) {
  if (unit.is_variable() && !unit.is_constant() && was_there) {
    findings_.Refuse(unit.object->name(),
                     absl::StrCat("static variable ", Demangle(unit.name),
                                  " is one of a lambda or local class, and ",
                                  why, ". Put the variable outside of it"));
  }
  if (unit.is_function()) {
    findings_.Warn(unit.object->name(),
                   absl::StrCat(ClosureIn(unit.name), ": ", why,
                                "; closures and objects that exist go on with "
                                "their code"));
  }
  Separate(unit);
}

// What captures other things than before is another lambda.
void Comparison::SeparateChangedClosures() {
  if (!questions_.changed_closures) return;
  const auto has_lambda = [](const ObjectPair& pair) {
    return pair.old_object != nullptr && pair.new_object != nullptr &&
           std::any_of(
               pair.new_object->units().begin(), pair.new_object->units().end(),
               [](const auto& unit) { return !NumbersIn(unit->name).empty(); });
  };
  std::vector<ObjectPair> with_lambdas;
  std::copy_if(pairs_.begin(), pairs_.end(), std::back_inserter(with_lambdas),
               has_lambda);
  if (with_lambdas.empty()) return;
  for (const std::string& closure : questions_.changed_closures(with_lambdas)) {
    for (const ObjectPair& pair : with_lambdas) {
      for (const auto& unit : pair.new_object->units()) {
        if (unit->is_anonymous() || unit->is_separate ||
            NumbersIn(unit->name).empty() ||
            !absl::StrContains(Demangle(unit->name), closure)) {
          continue;
        }
        SeparateLambda(*unit, unit->old != nullptr,
                       "it captures other things than before");
        separate_closures_.insert(closure);
      }
    }
  }
}

// Lambdas, unnamed types and local classes of one name are numbered by their
// order in a function. If there is one more or one less now, or if more than
// one of them has changed, the number says nothing. Returns whether there are
// any.
bool Comparison::SeparateNumbered(bool is_compared) {
  bool are_any = false;
  for (const ObjectPair& pair : pairs_) {
    if (pair.new_object == nullptr || pair.old_object == nullptr) continue;
    struct Group {
      std::set<std::string> old_numbers;
      std::set<std::string> new_numbers;
      Units units;
      bool is_class = false;
    };
    std::map<std::string, Group> groups;
    std::map<std::string, std::set<std::string>> changed;  // lambdas, by scope
    for (const auto& unit : pair.old_object->units()) {
      for (const Symbol* symbol : unit->symbols) {
        for (const Numbered& name : NumbersIn(symbol->name)) {
          groups[name.pattern].old_numbers.insert(name.number);
        }
      }
    }
    for (const auto& unit : pair.new_object->units()) {
      if (unit->is_anonymous()) continue;
      for (const Symbol* symbol : unit->symbols) {
        for (const Numbered& name : NumbersIn(symbol->name)) {
          Group& group = groups[name.pattern];
          group.new_numbers.insert(name.number);
          group.is_class = name.is_class;
          if (is_compared && !name.is_class &&
              (unit->is_separate || unit->status == UnitStatus::kChanged)) {
            changed[ScopeOfLambdas(unit->name)].insert(ClosureIn(unit->name));
          }
          if (group.units.empty() || group.units.back() != unit.get()) {
            group.units.push_back(unit.get());
          }
        }
      }
    }
    // All names that are about lambdas of one function go together: what calls
    // a closure, and what copies and destroys it.
    std::set<std::string> moved_scopes;
    std::map<std::string, Units> by_scope;
    for (auto& entry : groups) {
      Group& group = entry.second;
      if (group.units.empty() || group.old_numbers.empty()) continue;
      for (Unit* unit : group.units) {
        by_scope[ScopeOfLambdas(unit->name)].push_back(unit);
      }
      const auto changed_units = std::count_if(
          group.units.begin(), group.units.end(), [](const Unit* unit) {
            return unit->status == UnitStatus::kChanged || unit->is_separate;
          });
      const bool is_moved =
          is_compared ? group.new_numbers.size() > 1 && changed_units > 1
                      : group.old_numbers != group.new_numbers;
      if (!is_moved) continue;
      if (!group.is_class) {
        moved_scopes.insert(ScopeOfLambdas(group.units.front()->name));
      }
      for (Unit* unit : group.units) {
        if (unit->is_separate ||
            (is_compared && unit->status != UnitStatus::kChanged)) {
          continue;
        }
        SeparateLambda(*unit, true,
                       group.is_class
                           ? "which of several classes of that name it "
                             "was before cannot be told"
                           : "which of several lambdas it was before "
                             "cannot be told");
        are_any = true;
      }
    }
    for (const auto& scope : changed) {
      if (scope.second.size() > 1) moved_scopes.insert(scope.first);
    }
    for (const std::string& scope : moved_scopes) {
      for (Unit* unit : by_scope[scope]) {
        if (unit->is_separate ||
            (is_compared && unit->status != UnitStatus::kChanged)) {
          continue;
        }
        SeparateLambda(*unit, true,
                       "which of several lambdas it was before cannot be told");
        are_any = true;
      }
    }
  }
  return are_any;
}

// Static variables of one name in lambdas of one function, which may have been
// inlined: their order says which is which.
void Comparison::CollectNumbered(const ObjectPair& pair) {
  std::map<std::string, Units> groups;
  for (const auto& unit : pair.new_object->units()) {
    if (!unit->is_variable() || unit->is_constant() || unit->old == nullptr ||
        !absl::StartsWith(unit->name, "_ZZ")) {
      continue;
    }
    for (const Numbered& name : NumbersIn(unit->name)) {
      if (!name.is_class) groups[name.pattern].push_back(unit.get());
    }
  }
  for (auto& group : groups) {
    if (group.second.size() > 1) by_order_.push_back(std::move(group.second));
  }
}

// Static variables of one name in one function: `_ZZ1fvE1n`, `_ZZ1fvE1n_0`. One
// more takes the number of another.
void Comparison::CheckDiscriminators(const ObjectPair& pair) {
  using ByNumber = std::map<std::string, Unit*>;
  const auto number = [](const Object& object) {
    std::map<std::string, ByNumber> result;
    for (const auto& unit : object.units()) {
      if (!unit->is_variable() || unit->is_constant() ||
          !absl::StartsWith(unit->name, "_ZZ")) {
        continue;
      }
      // That has no number. The function may have become static, or global.
      result[Demangle(unit->name)][KeyOf(*unit)] = unit.get();
    }
    return result;
  };
  const auto has_same_numbers = [](const ByNumber& a, const ByNumber& b) {
    return a.size() == b.size() &&
           std::equal(a.begin(), a.end(), b.begin(),
                      [](const auto& in_a, const auto& in_b) {
                        return in_a.first == in_b.first;
                      });
  };
  const auto before = number(*pair.old_object);
  const auto now = number(*pair.new_object);
  for (const auto& entry : before) {
    const auto found = now.find(entry.first);
    if (found == now.end()) continue;
    if (has_same_numbers(entry.second, found->second)) {
      Units variables;
      for (const auto& numbered : found->second) {
        if (numbered.second->old != nullptr) {
          variables.push_back(numbered.second);
        }
      }
      if (variables.size() > 1) by_order_.push_back(std::move(variables));
      continue;
    }
    findings_.Refuse(
        pair.new_object->name(),
        absl::StrCat(entry.first, ": ", entry.second.size(), " -> ",
                     found->second.size(),
                     " static variables of that name in one function, and "
                     "which is which cannot be told. Give the new one a name "
                     "of its own"));
  }
}

bool Comparison::AreToldApart(const Units& variables) const {
  std::set<std::string> known;
  return std::all_of(variables.begin(), variables.end(),
                     [&](const Unit* variable) {
                       // What it leads to may be another thing now.
                       if (!variable->main().relocations.empty()) return false;
                       const std::string contents = ContentsOf(*variable);
                       return contents == ContentsOf(*variable->old) &&
                              known.insert(contents).second;
                     });
}

// Which is which of several of one name in one function only their order says,
// and that the author may have changed with the function.
void Comparison::CheckMatchesByOrder() {
  for (const Units& variables : by_order_) {
    if (std::any_of(
            variables.begin(), variables.end(),
            [](const Unit* variable) { return variable->old == nullptr; })) {
      continue;  // found to be others
    }
    const Unit* changed = nullptr;
    for (const Unit* variable : variables) {
      for (const Unit* user : UsersOf(*variable)) {
        if (user->status != UnitStatus::kSame) changed = user;
      }
    }
    if (changed == nullptr || AreToldApart(variables) ||
        (questions_.declared_alike && questions_.declared_alike(variables))) {
      continue;
    }
    const Unit& one = *variables.front();
    findings_.Refuse(
        one.object->name(),
        absl::StrCat("static variables of the name ",
                     Demangle(WithoutNumbers(one.name)),
                     " cannot be told apart, and ", Demangle(changed->name),
                     ", which uses one, has changed. Give them names of their "
                     "own in both builds, or compile both with -g and give "
                     "the old sources (--old-sources)"));
  }
}

}  // namespace differ
}  // namespace instar
