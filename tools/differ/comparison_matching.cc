// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <iterator>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/comparison.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {

using code_internal::Demangle;

// Which unit was which.

void Comparison::Match() {
  for (const ObjectPair& pair : pairs_) {
    for (const bool is_new : {false, true}) {
      const Object* object = is_new ? pair.new_object : pair.old_object;
      if (object == nullptr) continue;
      for (const auto& unit : object->units()) {
        if (!IsExported(*unit)) {
          if (is_new && unit->is_variable() && unit->is_constant() &&
              unit->is_global()) {
            shared_constants_.emplace(unit->global_name(), unit.get());
          }
          continue;
        }
        for (const Symbol* symbol : unit->symbols) {
          if (symbol->is_local()) continue;
          auto& globals = is_new ? new_globals_ : old_globals_;
          // A weak definition gives way to one that is not.
          if (symbol->binding == STB_WEAK) {
            globals.emplace(symbol->name, unit.get());
          } else {
            globals.insert_or_assign(symbol->name, unit.get());
          }
        }
      }
    }
  }
  std::vector<const ObjectPair*> pairs;
  for (const ObjectPair& pair : pairs_) {
    if (pair.old_object != nullptr && pair.new_object != nullptr &&
        !IsAnotherFile(pair)) {
      pairs.push_back(&pair);
    }
  }
  for (const ObjectPair* pair : pairs) MatchIn(*pair);
  MatchMoved();
  for (const ObjectPair* pair : pairs) {
    MatchByOtherNames(*pair);
    MatchRelinked(*pair);
  }
  for (const ObjectPair& pair : pairs_) {
    if (pair.old_object == nullptr) continue;
    for (const auto& unit : pair.old_object->units()) {
      if (!unit->is_anonymous() && new_of_.count(unit.get()) == 0) {
        gone_.push_back(unit.get());
      }
    }
  }
}

// Unless the name says that they are not one, whatever they have in common.
void Comparison::Pair(const Unit* old_unit, Unit* new_unit) {
  if (IsNameOfOther(*old_unit, *new_unit)) return;
  new_unit->old = old_unit;
  new_of_[old_unit] = new_unit;
}

void Comparison::MatchIn(const ObjectPair& pair) {
  std::map<std::string, Bucket> buckets;
  std::map<std::string, Bucket> buckets_by_line;
  const std::set<std::string> keys_by_line = KeysByLine(pair);
  const auto bucket_of = [&](const Unit& unit) -> Bucket& {
    std::string key = KeyOf(unit);
    return keys_by_line.count(key) == 0 ? buckets[std::move(key)]
                                        : buckets_by_line[ByLine(unit)->name];
  };
  for (const auto& unit : pair.old_object->units()) {
    if (!unit->is_anonymous()) bucket_of(*unit).old_units.push_back(unit.get());
  }
  for (const auto& unit : pair.new_object->units()) {
    if (!unit->is_anonymous()) bucket_of(*unit).new_units.push_back(unit.get());
  }
  for (auto& entry : buckets) {
    Bucket& bucket = entry.second;
    if (!bucket.old_units.empty() && !bucket.new_units.empty() &&
        !MatchOnlyOne(pair, bucket)) {
      MatchBucket(pair, std::move(bucket));
    }
  }
  for (auto& entry : buckets_by_line)
    MatchByLine(pair, std::move(entry.second));
  CheckDiscriminators(pair);
  CollectNumbered(pair);
}

StaticScope Comparison::ScopeOf(const Unit& unit) const {
  return questions_.scope_of ? questions_.scope_of(unit) : StaticScope();
}

// Whether one of the two is known to others, and what has that name in the
// other build is another unit: a static beside a global of its name.
bool Comparison::IsNameOfOther(const Unit& old_unit,
                               const Unit& new_unit) const {
  if (IsExported(old_unit) == IsExported(new_unit)) return false;
  const Unit& exported = IsExported(old_unit) ? old_unit : new_unit;
  const auto& others = IsExported(old_unit) ? new_globals_ : old_globals_;
  return std::any_of(exported.symbols.begin(), exported.symbols.end(),
                     [&](const Symbol* symbol) {
                       return !symbol->is_local() &&
                              others.count(symbol->name) != 0;
                     });
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
      !new_unit.is_constant() &&
      WithoutNumbers(new_unit.name) != new_unit.name) {
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

// Those of which a key tells, if it is one's alone in both builds, and that fit
// together; an empty one tells nothing. Returns the new ones.
Comparison::Units Comparison::MatchByKey(
    Bucket& bucket, absl::FunctionRef<std::string(const Unit&)> key_of,
    absl::FunctionRef<bool(const Unit&, const Unit&)> fits) {
  std::map<std::string, Bucket> by_key;
  for (const Unit* unit : bucket.old_units) {
    by_key[key_of(*unit)].old_units.push_back(unit);
  }
  for (Unit* unit : bucket.new_units) {
    by_key[key_of(*unit)].new_units.push_back(unit);
  }
  by_key.erase("");
  Units matched;
  for (const auto& entry : by_key) {
    const Bucket& both = entry.second;
    if (both.old_units.size() != 1 || both.new_units.size() != 1 ||
        !fits(*both.old_units.front(), *both.new_units.front())) {
      continue;
    }
    Pair(both.old_units.front(), both.new_units.front());
    matched.push_back(both.new_units.front());
  }
  RemoveMatched(bucket);
  return matched;
}

void Comparison::RemoveMatched(Bucket& bucket) {
  const auto is_matched = [&](const Unit* unit) {
    return new_of_.count(unit) != 0;
  };
  bucket.old_units.erase(std::remove_if(bucket.old_units.begin(),
                                        bucket.old_units.end(), is_matched),
                         bucket.old_units.end());
  bucket.new_units.erase(
      std::remove_if(bucket.new_units.begin(), bucket.new_units.end(),
                     [](const Unit* unit) { return unit->old != nullptr; }),
      bucket.new_units.end());
}

bool Comparison::HaveCommon(const std::set<std::string>& a,
                            const std::set<std::string>& b) {
  return std::any_of(a.begin(), a.end(),
                     [&](const std::string& one) { return b.count(one) != 0; });
}

// Those of which each fits the other one alone. Returns the new ones.
Comparison::Units Comparison::MatchIf(
    Bucket& bucket, absl::FunctionRef<bool(const Unit&, const Unit&)> fits) {
  Units matched;
  for (Unit* is : bucket.new_units) {
    const auto is_fit = [&](const Unit* was) { return fits(*was, *is); };
    const auto found =
        std::find_if(bucket.old_units.begin(), bucket.old_units.end(), is_fit);
    if (found == bucket.old_units.end() ||
        std::any_of(std::next(found), bucket.old_units.end(), is_fit) ||
        std::count_if(
            bucket.new_units.begin(), bucket.new_units.end(),
            [&](const Unit* other) { return fits(**found, *other); }) != 1) {
      continue;
    }
    Pair(*found, is);
    if (is->old != nullptr) matched.push_back(is);
  }
  RemoveMatched(bucket);
  return matched;
}

void Comparison::MatchBucket(const ObjectPair& pair, Bucket bucket) {
  const auto match_by = [&](absl::FunctionRef<std::string(const Unit&)> key) {
    MatchByKey(bucket, key);
  };
  const auto used_by = [&](const Unit& unit) {
    return absl::StrCat("used by ", absl::StrJoin(UserKeysOf(unit), "\n"));
  };
  match_by([](const Unit& unit) -> std::string {
    return IsClone(unit.name) || WithoutNumbers(unit.name) != unit.name
               ? ""
               : unit.name;
  });
  if (bucket.old_units.empty() || bucket.new_units.empty()) return;
  if (bucket.new_units.front()->is_function()) {
    // Functions within functions are numbered all over the file.
    match_by([&](const Unit& unit) {
      return IsClone(unit.name) ? "" : used_by(unit);
    });
    match_by(
        [](const Unit& unit) { return IsClone(unit.name) ? "" : unit.name; });
    // Clones, or statics of one name: the same bytes, or none. What they refer
    // to is compared as for all others.
    match_by([](const Unit& unit) { return std::string(unit.main().bytes); });
    return;
  }
  Units numbered = bucket.new_units;
  match_by([&](const Unit& unit) { return ScopeOf(unit).exact; });
  std::map<std::string, Units> by_scope;
  for (Unit* unit : numbered) {
    if (unit->old != nullptr) by_scope[ScopeOf(*unit).base].push_back(unit);
  }
  for (auto& entry : by_scope) {
    if (entry.second.size() > 1) by_order_.push_back(std::move(entry.second));
  }
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
    // One more or less in a function; or all of them are others than before.
    if (HaveCommon(old_scopes, new_scopes)) RefuseBucket(pair, bucket);
    return;
  }
  match_by(used_by);
  MatchIf(bucket, [&](const Unit& a, const Unit& b) {
    return HaveCommon(UserKeysOf(a), UserKeysOf(b));
  });
  if (bucket.old_units.empty() || bucket.new_units.empty()) return;
  if (bucket.old_units.size() == bucket.new_units.size()) {
    for (std::size_t i = 0; i < bucket.new_units.size(); ++i) {
      Pair(bucket.old_units[i], bucket.new_units[i]);
    }
    bucket.new_units.erase(
        std::remove_if(bucket.new_units.begin(), bucket.new_units.end(),
                       [](const Unit* unit) { return unit->old == nullptr; }),
        bucket.new_units.end());
    if (!bucket.new_units.empty()) by_order_.push_back(bucket.new_units);
    return;
  }
  RefuseBucket(pair, bucket);
}

// "n.0, n.1 before, n.0 now"
std::string Comparison::BeforeAndNow(const Bucket& bucket) {
  const auto names = [](std::string* out, const Unit* unit) {
    out->append(Demangle(unit->name));
  };
  return absl::StrCat(absl::StrJoin(bucket.old_units, ", ", names), " before, ",
                      absl::StrJoin(bucket.new_units, ", ", names), " now");
}

void Comparison::RefuseBucket(const ObjectPair& pair, const Bucket& bucket) {
  findings_.Refuse(
      pair.new_object->name(),
      absl::StrCat("static variables of one name cannot be told apart: ",
                   BeforeAndNow(bucket),
                   ". Give the new one a name of its own, or compile both "
                   "builds with -g"));
}

const std::set<const Unit*>& Comparison::UsersOf(const Unit& used) {
  const auto known = users_.emplace(
      used.object, std::map<const Unit*, std::set<const Unit*>>());
  std::map<const Unit*, std::set<const Unit*>>& users = known.first->second;
  if (known.second) {
    for (const auto& user : used.object->units()) {
      if (!user->is_function()) continue;
      for (const Section* part : user->parts) {
        for (const Relocation& relocation : part->relocations) {
          const Unit* target = used.object->TargetOf(relocation);
          if (target != nullptr && target != user.get()) {
            users[target].insert(user.get());
          }
        }
      }
    }
  }
  return users[&used];
}

std::set<std::string> Comparison::UserKeysOf(const Unit& used) {
  std::set<std::string> keys;
  for (const Unit* user : UsersOf(used)) keys.insert(KeyOf(*user));
  return keys;
}

}  // namespace differ
}  // namespace instar
