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

}  // namespace

// Which unit was which.

void Comparison::Match() {
  for (const ObjectPair& pair : pairs_) {
    for (const bool is_new : {false, true}) {
      const Object* object = is_new ? pair.new_object : pair.old_object;
      if (object == nullptr) continue;
      for (const auto& unit : object->units()) {
        if (!IsExported(*unit)) continue;
        for (const Symbol* symbol : unit->symbols) {
          if (symbol->is_local()) continue;
          (is_new ? new_globals_ : old_globals_)
              .emplace(symbol->name, unit.get());
        }
      }
    }
  }
  for (const ObjectPair& pair : pairs_) {
    if (pair.old_object != nullptr && pair.new_object != nullptr) MatchIn(pair);
  }
  MatchMoved();
  for (const ObjectPair& pair : pairs_) {
    if (pair.old_object == nullptr) continue;
    for (const auto& unit : pair.old_object->units()) {
      if (!unit->is_anonymous() && new_of_.count(unit.get()) == 0) {
        gone_.push_back(unit.get());
      }
    }
  }
}

void Comparison::Pair(const Unit* old_unit, Unit* new_unit) {
  new_unit->old = old_unit;
  new_of_[old_unit] = new_unit;
}

void Comparison::MatchIn(const ObjectPair& pair) {
  std::map<std::string, Bucket> buckets;
  for (const auto& unit : pair.old_object->units()) {
    if (!unit->is_anonymous()) {
      buckets[KeyOf(*unit)].old_units.push_back(unit.get());
    }
  }
  for (const auto& unit : pair.new_object->units()) {
    if (!unit->is_anonymous()) {
      buckets[KeyOf(*unit)].new_units.push_back(unit.get());
    }
  }
  for (auto& entry : buckets) {
    Bucket& bucket = entry.second;
    if (!bucket.old_units.empty() && !bucket.new_units.empty() &&
        !MatchOnlyOne(pair, bucket)) {
      MatchBucket(pair, std::move(bucket));
    }
  }
  CheckDiscriminators(pair);
}

StaticScope Comparison::ScopeOf(const Unit& unit) const {
  return questions_.scope_of ? questions_.scope_of(unit) : StaticScope();
}

// If there is one on each side; returns whether there is nothing left to do.
bool Comparison::MatchOnlyOne(const ObjectPair& pair, Bucket& bucket) {
  if (bucket.old_units.size() != 1 || bucket.new_units.size() != 1) {
    return false;
  }
  const Unit& old_unit = *bucket.old_units.front();
  Unit& new_unit = *bucket.new_units.front();
  if (new_unit.is_variable() && !new_unit.is_compound &&
      !new_unit.is_global() && !old_unit.is_global() &&
      !new_unit.is_constant()) {
    // "n.0" may be a static of another function now.
    const std::string old_scope = ScopeOf(old_unit).exact;
    const std::string new_scope = ScopeOf(new_unit).exact;
    if (!old_scope.empty() && !new_scope.empty() && old_scope != new_scope) {
      findings_.Warn(pair.new_object->name(),
                     absl::StrCat("static variable ", Demangle(new_unit.name),
                                  " is another one than before (", old_scope,
                                  ", now ", new_scope, "): it starts anew"));
      return true;
    }
  }
  Pair(&old_unit, &new_unit);
  return true;
}

void Comparison::MatchBucket(const ObjectPair& pair, Bucket bucket) {
  const auto match_if = [&](const auto& fits) {
    for (auto unit = bucket.new_units.begin();
         unit != bucket.new_units.end();) {
      const auto is_fit = [&](const Unit* old_unit) {
        return fits(*old_unit, **unit);
      };
      const auto found = std::find_if(bucket.old_units.begin(),
                                      bucket.old_units.end(), is_fit);
      if (found == bucket.old_units.end() ||
          std::count_if(bucket.old_units.begin(), bucket.old_units.end(),
                        is_fit) != 1 ||
          std::count_if(
              bucket.new_units.begin(), bucket.new_units.end(),
              [&](const Unit* other) { return fits(**found, *other); }) != 1) {
        ++unit;
        continue;
      }
      Pair(*found, *unit);
      bucket.old_units.erase(found);
      unit = bucket.new_units.erase(unit);
    }
  };
  // A name that holds no made-up number.
  match_if([](const Unit& a, const Unit& b) {
    return a.name == b.name &&
           (a.is_function() ? !IsClone(a.name)
                            : WithoutNumbers(a.name) == a.name);
  });
  if (bucket.old_units.empty() || bucket.new_units.empty()) return;
  if (bucket.new_units.front()->is_function()) {
    // Clones, or statics of one name: the same bytes, or none. What they refer
    // to is compared as for all others.
    match_if([](const Unit& a, const Unit& b) {
      return a.main().bytes == b.main().bytes;
    });
    return;
  }
  match_if([&](const Unit& a, const Unit& b) {
    const std::string scope = ScopeOf(a).exact;
    return !scope.empty() && scope == ScopeOf(b).exact;
  });
  if (bucket.old_units.empty() || bucket.new_units.empty()) return;
  std::set<std::string> old_scopes;
  std::set<std::string> new_scopes;
  for (const Unit* unit : bucket.old_units) {
    old_scopes.insert(ScopeOf(*unit).base);
  }
  for (const Unit* unit : bucket.new_units) {
    new_scopes.insert(ScopeOf(*unit).base);
  }
  if (old_scopes.count("") == 0 && new_scopes.count("") == 0) {
    const bool has_common = std::any_of(
        new_scopes.begin(), new_scopes.end(),
        [&](const std::string& scope) { return old_scopes.count(scope) != 0; });
    // One more or less in a function; or all of them are others than before.
    if (has_common) RefuseBucket(pair, bucket);
    return;
  }
  match_if(
      [&](const Unit& a, const Unit& b) { return UsersOf(a) == UsersOf(b); });
  match_if([&](const Unit& a, const Unit& b) {
    const std::set<std::string>& of_b = UsersOf(b);
    return std::any_of(
        UsersOf(a).begin(), UsersOf(a).end(),
        [&](const std::string& user) { return of_b.count(user) != 0; });
  });
  if (bucket.old_units.empty() || bucket.new_units.empty()) return;
  if (bucket.old_units.size() == bucket.new_units.size()) {
    for (std::size_t i = 0; i < bucket.new_units.size(); ++i) {
      Pair(bucket.old_units[i], bucket.new_units[i]);
      by_order_.push_back(bucket.new_units[i]);
    }
    return;
  }
  RefuseBucket(pair, bucket);
}

void Comparison::RefuseBucket(const ObjectPair& pair, const Bucket& bucket) {
  const auto names = [](std::string* out, const Unit* unit) {
    out->append(Demangle(unit->name));
  };
  findings_.Refuse(
      pair.new_object->name(),
      absl::StrCat("static variables of one name cannot be told apart: ",
                   absl::StrJoin(bucket.old_units, ", ", names), " before, ",
                   absl::StrJoin(bucket.new_units, ", ", names),
                   " now. Give the new one a name of its own, or compile both "
                   "builds with -g"));
}

const std::set<std::string>& Comparison::UsersOf(const Unit& unit) {
  auto found = users_.find(unit.object);
  if (found == users_.end()) {
    found = users_
                .emplace(unit.object,
                         std::map<const Unit*, std::set<std::string>>())
                .first;
    for (const auto& user : unit.object->units()) {
      if (!user->is_function()) continue;
      for (const Section* part : user->parts) {
        for (const Relocation& relocation : part->relocations) {
          const Unit* target = unit.object->TargetOf(relocation);
          if (target != nullptr && target->is_variable()) {
            found->second[target].insert(KeyOf(*user));
          }
        }
      }
    }
  }
  return found->second[&unit];
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
// that is gone and one that is new, of one name, function and size.
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
  for (const Bucket& bucket : ByScope(std::move(statics))) {
    if (bucket.old_units.empty() || bucket.new_units.empty()) continue;
    const Unit& old_unit = *bucket.old_units.front();
    Unit& new_unit = *bucket.new_units.front();
    if (old_unit.object->name() == new_unit.object->name()) {
      continue;  // found to be another one
    }
    if (bucket.old_units.size() == 1 && bucket.new_units.size() == 1 &&
        old_unit.main().size == new_unit.main().size) {
      Pair(&old_unit, &new_unit);
      findings_.Note(
          new_unit.object->name(),
          absl::StrCat("variable ", Demangle(new_unit.name), " comes from ",
                       old_unit.object->name(), " and keeps its value"));
    } else {
      findings_.Refuse(
          new_unit.object->name(),
          absl::StrCat("variable ", Demangle(new_unit.name),
                       " may be one that was in ", old_unit.object->name(),
                       " before, or a new one. Give it another name if it is "
                       "new, or leave it in its file"));
    }
  }
}

void Comparison::Separate(Unit& unit) {
  unit.old = nullptr;
  unit.status = UnitStatus::kNew;
  unit.why.clear();
  unit.is_separate = true;
}

// Closures that exist go on with their code.
void Comparison::SeparateLambda(Unit& unit, absl::string_view why) {
  if (unit.is_variable() && !unit.is_constant() && unit.old != nullptr) {
    findings_.Refuse(unit.object->name(),
                     absl::StrCat("static variable ", Demangle(unit.name),
                                  " is one of a lambda, and ", why,
                                  ". Put the variable outside of the lambda"));
  }
  if (unit.is_function()) {
    findings_.Warn(unit.object->name(),
                   absl::StrCat(ClosureIn(unit.name), ": ", why,
                                "; closures that exist go on with their code"));
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
        SeparateLambda(*unit, "it captures other things than before");
        separate_closures_.insert(closure);
      }
    }
  }
}

// Lambdas and unnamed types are numbered by their order in a function. If there
// is one more or one less now, or if more than one of them has changed, the
// number says nothing.
void Comparison::SeparateLambdas(bool is_compared) {
  for (const ObjectPair& pair : pairs_) {
    if (pair.new_object == nullptr || pair.old_object == nullptr) continue;
    struct Group {
      std::set<std::string> old_numbers;
      std::set<std::string> new_numbers;
      Units units;
    };
    std::map<std::string, Group> groups;
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
          group.units.push_back(unit.get());
        }
      }
    }
    for (auto& entry : groups) {
      Group& group = entry.second;
      if (group.units.empty() || group.old_numbers.empty()) continue;
      const auto changed = std::count_if(
          group.units.begin(), group.units.end(), [](const Unit* unit) {
            return unit->status == UnitStatus::kChanged;
          });
      const bool is_moved = is_compared
                                ? group.new_numbers.size() > 1 && changed > 1
                                : group.old_numbers != group.new_numbers;
      if (!is_moved) continue;
      for (Unit* unit : group.units) {
        if (unit->is_separate ||
            (is_compared && unit->status != UnitStatus::kChanged)) {
          continue;
        }
        SeparateLambda(*unit,
                       "which of several lambdas it was before cannot be told");
      }
    }
  }
}

// Static variables of one name in one function: `_ZZ1fvE1n`, `_ZZ1fvE1n_0`. One
// more takes the number of another.
void Comparison::CheckDiscriminators(const ObjectPair& pair) {
  const auto count = [](const Object& object) {
    std::map<std::string, std::set<std::string>> result;
    for (const auto& unit : object.units()) {
      if (!unit->is_variable() || unit->is_constant() ||
          !absl::StartsWith(unit->name, "_ZZ")) {
        continue;
      }
      std::string stem = unit->name;
      std::string number;
      if (!stem.empty() && stem.back() == '_')
        stem.pop_back();  // of two digits
      const std::size_t underscore = stem.rfind('_');
      if (underscore != std::string::npos && underscore + 1 < stem.size() &&
          std::all_of(
              stem.begin() + static_cast<std::ptrdiff_t>(underscore) + 1,
              stem.end(), absl::ascii_isdigit)) {
        number = stem.substr(underscore);
        stem.resize(underscore);
      }
      result[stem].insert(number);
    }
    return result;
  };
  const auto before = count(*pair.old_object);
  const auto now = count(*pair.new_object);
  for (const auto& entry : before) {
    const auto found = now.find(entry.first);
    if (found == now.end() || found->second == entry.second) continue;
    findings_.Refuse(
        pair.new_object->name(),
        absl::StrCat(Demangle(entry.first), ": ", entry.second.size(), " -> ",
                     found->second.size(),
                     " static variables of that name in one function, and "
                     "which is which cannot be told. Give the new one a name "
                     "of its own"));
  }
}

}  // namespace differ
}  // namespace instar
