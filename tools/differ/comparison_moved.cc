// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Units that are in another file than before, or have got another name.

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/comparison.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;
using code_internal::QualifiedName;

// An instance of a template that each file may have for itself.
bool IsInstance(const Unit& function) {
  return absl::EndsWith(QualifiedName(Demangle(function.name)), ">");
}

}  // namespace

// Whether it has the name of one that had other contents: files have been
// renamed. What it has is matched as what has gone to another file.
bool Comparison::IsAnotherFile(const ObjectPair& pair) const {
  const auto exports_of = [](const Object& object) {
    std::set<std::string> names;
    for (const auto& unit : object.units()) {
      if (IsExported(*unit)) names.emplace(unit->global_name());
    }
    return names;
  };
  const std::set<std::string> before = exports_of(*pair.old_object);
  const std::set<std::string> now = exports_of(*pair.new_object);
  const auto is_in = [](const auto& globals) {
    return [&globals](const std::string& name) {
      return globals.count(name) != 0;
    };
  };
  return !HaveCommon(before, now) &&
         (std::any_of(before.begin(), before.end(), is_in(new_globals_)) ||
          std::any_of(now.begin(), now.end(), is_in(old_globals_)));
}

// Whether a function has gone from the one's object to the other's, and uses
// the one there and the other here. Not what both files can have had all the
// time, and one of them used: a header's, or an instance of a template.
bool Comparison::HasMovedUser(const Unit& old_unit, const Unit& new_unit) {
  const std::string file = ScopeOf(old_unit).file;
  if (!file.empty() && file == ScopeOf(new_unit).file) return false;
  const std::set<const Unit*>& old_users = UsersOf(old_unit);
  const std::set<const Unit*>& new_users = UsersOf(new_unit);
  return std::any_of(new_users.begin(), new_users.end(), [&](const Unit* user) {
    if (IsInstance(*user)) return false;
    if (user->old != nullptr) return old_users.count(user->old) != 0;
    return std::any_of(
        old_users.begin(), old_users.end(), [&](const Unit* before) {
          return new_of_.count(before) == 0 && KeyOf(*before) == KeyOf(*user);
        });
  });
}

// The buckets, without what debug information tells apart: "n.0" of one
// function is not "n.0" of another one. Where it says nothing of one of them,
// they stay together.
std::vector<Comparison::Bucket> Comparison::ByScope(
    std::map<std::string, Bucket> buckets) const {
  std::vector<Bucket> result;
  for (auto& entry : buckets) {
    std::map<std::string, Bucket> by_scope;
    for (const Unit* unit : entry.second.old_units) {
      by_scope[ScopeOf(*unit).base].old_units.push_back(unit);
    }
    for (Unit* unit : entry.second.new_units) {
      by_scope[ScopeOf(*unit).base].new_units.push_back(unit);
    }
    if (by_scope.count("") != 0) {
      result.push_back(std::move(entry.second));
      continue;
    }
    for (auto& scope : by_scope) result.push_back(std::move(scope.second));
  }
  return result;
}

// What has gone to another file: by its global name; of static variables, one
// that is gone and one that is new, of one name, function and size, if a
// function that uses it has gone with it.
void Comparison::MatchMoved() {
  std::map<std::string, Bucket> statics;
  for (const ObjectPair& pair : pairs_) {
    if (pair.new_object != nullptr) {
      for (const auto& unit : pair.new_object->units()) {
        if (unit->old != nullptr || unit->is_anonymous()) continue;
        const auto old_unit = old_globals_.find(unit->global_name());
        if (IsExported(*unit) && old_unit != old_globals_.end() &&
            new_of_.count(old_unit->second) == 0) {
          Pair(old_unit->second, unit.get());
        } else if (unit->is_variable() && !unit->is_constant()) {
          statics[KeyOf(*unit)].new_units.push_back(unit.get());
        }
      }
    }
    if (pair.old_object != nullptr) {
      for (const auto& unit : pair.old_object->units()) {
        if (unit->is_variable() && !unit->is_constant() &&
            new_of_.count(unit.get()) == 0) {
          statics[KeyOf(*unit)].old_units.push_back(unit.get());
        }
      }
    }
  }
  for (Bucket& bucket : ByScope(std::move(statics))) {
    // Of each, the one that functions have taken along.
    const Units found = MatchIf(bucket, [&](const Unit& was, const Unit& is) {
      return was.object->name() != is.object->name() &&
             was.main().size == is.main().size && HasMovedUser(was, is);
    });
    for (const Unit* unit : found) {
      findings_.Note(
          unit->object->name(),
          absl::StrCat("variable ", Demangle(unit->name), " comes from ",
                       unit->old->object->name(), " and keeps its value"));
    }
    if (bucket.old_units.empty() || bucket.new_units.empty()) continue;
    const Unit& old_unit = *bucket.old_units.front();
    const Unit& new_unit = *bucket.new_units.front();
    if (bucket.old_units.size() == 1 && bucket.new_units.size() == 1 &&
        old_unit.object->name() == new_unit.object->name()) {
      continue;  // found to be another one
    }
    findings_.Refuse(
        new_unit.object->name(),
        absl::StrCat("variable ", Demangle(new_unit.name),
                     " may be one that was in ", old_unit.object->name(),
                     " before, or a new one. Give it another name if it is "
                     "new, or leave it in its file"));
  }
}

// A variable that has got or lost another name, an alias.
void Comparison::MatchByOtherNames(const ObjectPair& pair) {
  std::map<absl::string_view, const Unit*> gone;
  for (const auto& unit : pair.old_object->units()) {
    if (!unit->is_variable() || new_of_.count(unit.get()) != 0) continue;
    for (const Symbol* symbol : unit->symbols) gone[symbol->name] = unit.get();
  }
  for (const auto& unit : pair.new_object->units()) {
    if (!unit->is_variable() || unit->old != nullptr ||
        ByLine(*unit).has_value()) {
      continue;
    }
    for (const Symbol* symbol : unit->symbols) {
      const auto was = gone.find(symbol->name);
      if (was == gone.end() || unit->old != nullptr ||
          new_of_.count(was->second) != 0 ||
          WithoutNumbers(symbol->name) != symbol->name) {
        continue;
      }
      Pair(was->second, unit.get());
    }
  }
}

// What was static is in an anonymous namespace now, or the other way: another
// linkage name, and all the same the same variable.
void Comparison::MatchRelinked(const ObjectPair& pair) {
  const auto is_in_anonymous = [](const Unit& unit) {
    return absl::StrContains(unit.name, "_GLOBAL__N_");
  };
  std::map<std::string, Bucket> buckets;
  for (const auto& unit : pair.old_object->units()) {
    if (unit->is_variable() && !unit->is_constant() &&
        new_of_.count(unit.get()) == 0) {
      buckets[ScopeOf(*unit).qualified].old_units.push_back(unit.get());
    }
  }
  for (const auto& unit : pair.new_object->units()) {
    if (unit->is_variable() && !unit->is_constant() && unit->old == nullptr) {
      buckets[ScopeOf(*unit).qualified].new_units.push_back(unit.get());
    }
  }
  buckets.erase("");
  for (const auto& entry : buckets) {
    const Bucket& bucket = entry.second;
    if (bucket.old_units.empty() || bucket.new_units.empty()) continue;
    const auto has_other_linkage = [&](const Unit* new_unit) {
      return is_in_anonymous(*new_unit) !=
             is_in_anonymous(*bucket.old_units.front());
    };
    if (std::none_of(bucket.new_units.begin(), bucket.new_units.end(),
                     has_other_linkage)) {
      continue;
    }
    if (bucket.old_units.size() == 1 && bucket.new_units.size() == 1) {
      Pair(bucket.old_units.front(), bucket.new_units.front());
    } else {
      RefuseBucket(pair, bucket);
    }
  }
}

}  // namespace differ
}  // namespace instar
