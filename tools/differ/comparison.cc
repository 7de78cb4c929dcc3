// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/comparison.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "code/symbols/images/symbol_name.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

bool IsDigit(char c) { return absl::ascii_isdigit(c); }

bool IsVirtualTable(absl::string_view name) {
  return absl::StartsWith(name, "_ZTV") || absl::StartsWith(name, "_ZTT") ||
         absl::StartsWith(name, "_ZTC");
}

bool IsTypeInfo(absl::string_view name) {
  return absl::StartsWith(name, "_ZTI") || absl::StartsWith(name, "_ZTS");
}

// What a coroutine's frame leads to. A suspended coroutine goes on in the code
// that made its frame, and knows its suspend points.
bool IsPartOfCoroutine(absl::string_view name) {
  return absl::EndsWith(name, ".Frame.actor") ||
         absl::EndsWith(name, ".Frame.destroy");
}

// A copy of a function with another signature or without a part of it, which
// GCC has made; it is called by those that were compiled for it alone.
bool IsClone(absl::string_view name) {
  return IsPartOfCoroutine(name) || absl::StrContains(name, ".constprop") ||
         absl::StrContains(name, ".isra") || absl::StrContains(name, ".part") ||
         absl::StrContains(name, ".lto_priv");
}

// What is static may become global, or the other way: `_ZL5count` and `count`,
// `_ZN1nL5countE` and `_ZN1n5countE` get one key. The L before a number may
// also stand for a literal, which does no harm: a key that two things share
// is looked at closely.
std::string WithoutStaticMark(absl::string_view name) {
  if (!absl::StartsWith(name, "_Z")) return std::string(name);
  std::string result;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == 'L' && i + 1 < name.size() && IsDigit(name[i + 1])) continue;
    result += name[i];
  }
  // `_Z5count` is a variable in the global namespace: `count`.
  std::size_t digits = 2;
  while (digits < result.size() && IsDigit(result[digits])) ++digits;
  if (digits > 2) {
    const std::size_t length = std::stoul(result.substr(2, digits - 2));
    if (result.size() - digits == length) return result.substr(digits);
  }
  return result;
}

// Whether the source says which section it is in: the linker makes an array of
// what all objects have there (__start_SECTION).
bool IsInOwnSection(const Unit& unit) {
  return !absl::StartsWith(unit.main().name, ".");
}

std::string KeyOf(const Unit& unit) {
  const char kind = unit.is_function() ? 'f' : 'v';
  if (unit.is_initializer()) {
    return absl::StrCat(
        std::string(1, kind),
        absl::StartsWith(unit.name, "_GLOBAL__sub_D") ? "end" : "start");
  }
  if (unit.is_compound || (unit.is_variable() && IsInOwnSection(unit))) {
    return absl::StrCat(std::string(1, kind), " ", unit.main().name);
  }
  std::string name = unit.name;
  if (unit.is_function() || !unit.is_global()) name = WithoutNumbers(name);
  return absl::StrCat(std::string(1, kind), WithoutStaticMark(name));
}

bool IsOfPairs(const Unit& unit) {
  return !unit.is_anonymous() && !unit.global_name().empty() &&
         unit.main().group.empty();
}

// A name with the number of one lambda or unnamed type in it taken out:
// "_ZZ1fvENKUlvE0_clEv" is "_ZZ1fvENKUlvE#_clEv" and "0".
struct Numbered {
  std::string pattern;
  std::string number;
};

// Itanium C++ ABI 5.1.7: Ul <types> E [<number>] _, and Ut [<number>] _.
std::vector<Numbered> NumbersIn(absl::string_view name) {
  std::vector<Numbered> result;
  if (!absl::StartsWith(name, "_Z")) return result;
  const auto add = [&](std::size_t begin) {
    std::size_t end = begin;
    while (end < name.size() && IsDigit(name[end])) ++end;
    if (end < name.size() && name[end] == '_') {
      result.push_back(
          {absl::StrCat(name.substr(0, begin), "#", name.substr(end)),
           std::string(name.substr(begin, end - begin))});
    }
  };
  for (std::size_t at = name.find("Ut"); at != absl::string_view::npos;
       at = name.find("Ut", at + 1)) {
    add(at + 2);
  }
  for (std::size_t at = name.find("Ul"); at != absl::string_view::npos;
       at = name.find("Ul", at + 1)) {
    // Which E ends its parameters is not parsed: each that is followed by a
    // number and `_` is taken for it. One too many makes one more pattern.
    for (std::size_t e = name.find('E', at); e != absl::string_view::npos;
         e = name.find('E', e + 1)) {
      std::size_t end = e + 1;
      while (end < name.size() && IsDigit(name[end])) ++end;
      if (end < name.size() && name[end] == '_') {
        add(e + 1);
        break;
      }
    }
  }
  return result;
}

// "f(int)::{lambda()#2}" of the readable form of a name that is about it.
std::string ClosureIn(const std::string& name) {
  const std::string readable = Demangle(name);
  std::size_t at = readable.find("{lambda");
  if (at == std::string::npos) at = readable.find("{unnamed");
  const std::size_t end = readable.find('}', at);
  if (at == std::string::npos || end == std::string::npos) return readable;
  int depth = 0;
  for (; at > 0; --at) {
    const char c = readable[at - 1];
    if (c == ')' || c == '>' || c == '}') {
      ++depth;
    } else if (c == '(' || c == '<' || c == '{') {
      if (depth-- == 0) break;
    } else if (depth == 0 && (c == ' ' || c == ',')) {
      break;
    }
  }
  return readable.substr(at, end + 1 - at);
}

// What a reference to a mergeable section means: the constant, and the part of
// it that is used.
std::string MergedContents(const Object& object, const Relocation& relocation) {
  const Symbol& symbol = object.SymbolOf(relocation);
  const Section& section = object.elf().sections()[symbol.section];
  const bool is_relative =
      relocation.type == R_X86_64_PC32 || relocation.type == R_X86_64_PLT32;
  std::uint64_t at = symbol.value;
  std::int64_t rest = relocation.addend;
  if (symbol.type == STT_SECTION) {
    at += static_cast<std::uint64_t>(relocation.addend + (is_relative ? 4 : 0));
    rest = is_relative ? -4 : 0;
  }
  const std::uint64_t step = std::max<std::uint64_t>(section.entry_size, 1);
  if (at >= section.bytes.size()) return absl::StrCat("outside ", at);
  std::uint64_t begin = at;
  std::uint64_t end = at;
  if (section.Has(SHF_STRINGS)) {
    // An operand with an immediate behind it seems to begin before its string:
    // at the zero of the one before. So after an empty one comes the next.
    for (int strings = 0; strings < 2; ++strings) {
      const std::uint64_t start = end;
      while (end + step <= section.bytes.size() &&
             section.bytes.substr(end, step).find_first_not_of('\0') !=
                 absl::string_view::npos) {
        end += step;
      }
      if (end != start) break;
      end = std::min<std::uint64_t>(end + step, section.bytes.size());
    }
  } else if (at % step == 0) {
    end = std::min<std::uint64_t>(at + step, section.bytes.size());
  } else {
    // Either the middle of a constant, or one that an immediate follows, and
    // which begins a little later.
    begin = at / step * step;
    end = std::min<std::uint64_t>(begin + 2 * step, section.bytes.size());
  }
  return absl::StrCat(rest, ",", at - begin, ",", step, ",",
                      section.bytes.substr(begin, end - begin));
}

std::string Quoted(const Object& object, const Relocation& relocation) {
  const Symbol& symbol = object.SymbolOf(relocation);
  const Section& section = object.elf().sections()[symbol.section];
  if (!section.Has(SHF_STRINGS)) return "";
  std::uint64_t at = symbol.value;
  if (symbol.type == STT_SECTION) {
    at += static_cast<std::uint64_t>(relocation.addend + 4);
  }
  const absl::string_view text = StringAt(section.bytes, at);
  return absl::StrCat("\"", text.substr(0, 40), "\"");
}

std::string ReadableTarget(const Object& object, const Relocation& relocation) {
  const Symbol& symbol = object.SymbolOf(relocation);
  if (!symbol.name.empty()) return Demangle(symbol.name);
  const Unit* unit = object.UnitOf(symbol.section);
  if (unit != nullptr && !unit->is_anonymous()) return Demangle(unit->name);
  return symbol.section < object.elf().sections().size()
             ? std::string(object.elf().sections()[symbol.section].name)
             : "nothing";
}

absl::string_view WithoutPadding(absl::string_view bytes) {
  // The last entry of .eh_frame is padded with no-ops, which are zeros.
  while (!bytes.empty() && bytes.back() == '\0') bytes.remove_suffix(1);
  return bytes;
}

}  // namespace

Comparison::Comparison(std::vector<ObjectPair> pairs, DebugQuestions questions)
    : pairs_(std::move(pairs)), questions_(std::move(questions)) {
  Match();
  SeparateLambdas(/*is_compared=*/false);
  Compare();
  SeparateLambdas(/*is_compared=*/true);
  Judge();
}

const Unit* Comparison::DefinedByNew(absl::string_view name) const {
  const auto found = new_globals_.find(name);
  return found == new_globals_.end() ? nullptr : found->second;
}

// --- Which unit was which ---

void Comparison::Match() {
  for (const ObjectPair& pair : pairs_) {
    for (const bool is_new : {false, true}) {
      const Object* object = is_new ? pair.new_object : pair.old_object;
      if (object == nullptr) continue;
      for (const auto& unit : object->units()) {
        if (!IsOfPairs(*unit)) continue;
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
  MatchByUsers(pair, bucket, /*is_exact=*/true);
  MatchByUsers(pair, bucket, /*is_exact=*/false);
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

void Comparison::MatchByUsers(const ObjectPair& /*pair*/, Bucket& bucket,
                              bool is_exact) {
  const auto fits = [&](const Unit& a, const Unit& b) {
    const std::set<std::string>& of_a = UsersOf(a);
    const std::set<std::string>& of_b = UsersOf(b);
    if (is_exact) return of_a == of_b;
    return std::any_of(of_a.begin(), of_a.end(), [&](const std::string& user) {
      return of_b.count(user) != 0;
    });
  };
  for (auto unit = bucket.new_units.begin(); unit != bucket.new_units.end();) {
    std::vector<const Unit*> found;
    for (const Unit* old_unit : bucket.old_units) {
      if (fits(*old_unit, **unit)) found.push_back(old_unit);
    }
    const bool is_only =
        found.size() == 1 &&
        std::count_if(bucket.new_units.begin(), bucket.new_units.end(),
                      [&](const Unit* other) {
                        return fits(*found.front(), *other);
                      }) == 1;
    if (!is_only) {
      ++unit;
      continue;
    }
    Pair(found.front(), *unit);
    bucket.old_units.erase(std::find(bucket.old_units.begin(),
                                     bucket.old_units.end(), found.front()));
    unit = bucket.new_units.erase(unit);
  }
}

// What has gone to another file: by its global name; of static variables, one
// that is gone and one that is new, of one name and size.
void Comparison::MatchMoved() {
  std::map<std::string, Bucket> statics;
  for (const ObjectPair& pair : pairs_) {
    if (pair.new_object != nullptr) {
      for (const auto& unit : pair.new_object->units()) {
        if (unit->old != nullptr || unit->is_anonymous()) continue;
        const auto old_unit = old_globals_.find(unit->global_name());
        if (IsOfPairs(*unit) && old_unit != old_globals_.end() &&
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
  for (const auto& entry : statics) {
    const Bucket& bucket = entry.second;
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
        if (unit->is_variable() && !unit->is_constant() &&
            unit->old != nullptr) {
          findings_.Refuse(
              pair.new_object->name(),
              absl::StrCat("static variable ", Demangle(unit->name),
                           " is one of a lambda, and which of several cannot "
                           "be told. Put the variable outside of the lambda"));
        }
        if (unit->is_function()) {
          findings_.Warn(
              pair.new_object->name(),
              absl::StrCat(ClosureIn(unit->name),
                           ": which of several lambdas it was before cannot be "
                           "told; closures that exist go on with their code"));
        }
        Separate(*unit);
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
              stem.end(), IsDigit)) {
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

// --- What is the same ---

void Comparison::Compare() {
  for (const ObjectPair& pair : pairs_) {
    if (pair.new_object == nullptr) continue;
    for (const auto& unit : pair.new_object->units()) {
      if (!unit->is_anonymous()) CompareUnit(*unit);
    }
  }
  CheckMatchesByOrder();
}

void Comparison::CompareUnit(Unit& unit) {
  if (unit.old == nullptr) {
    unit.status = UnitStatus::kNew;
    return;
  }
  unit.why = WhyNotSame(*unit.old, unit);
  unit.status = unit.why.empty() ? UnitStatus::kSame : UnitStatus::kChanged;
  if (unit.status == UnitStatus::kSame && unit.is_function() &&
      unit.main().bytes != unit.old->main().bytes) {
    moved_only_.push_back(&unit);
  }
  if (unit.status == UnitStatus::kChanged && unit.is_function() &&
      IsClone(unit.name)) {
    if (IsPartOfCoroutine(unit.name)) {
      findings_.Note(
          unit.object->name(),
          absl::StrCat(Demangle(unit.name), " has changed (", unit.why,
                       "): coroutines that are suspended finish in "
                       "the version that they began in"));
    }
    Separate(unit);
  }
}

std::string Comparison::WhyNotSame(const Unit& a, const Unit& b) {
  if (a.parts.size() != b.parts.size()) return "its cold part";
  if (a.is_function() && a.entry != b.entry) return "its thunks";
  for (std::size_t i = 0; i < a.parts.size(); ++i) {
    std::string why =
        WhyNotSameSection(*a.object, *a.parts[i], *b.object, *b.parts[i]);
    if (!why.empty()) return why;
  }
  return WhyNotSameFrames(a, b);
}

std::string Comparison::WhyNotSameFrames(const Unit& a, const Unit& b) {
  static constexpr char kUnwinding[] = "how it is unwound";
  if (a.frames.size() != b.frames.size()) return kUnwinding;
  const auto why = [&](const Frame& in_a, const Frame& in_b,
                       std::size_t skipped) -> std::string {
    if (in_a.relocations.size() != in_b.relocations.size() ||
        WithoutPadding(in_a.bytes.substr(skipped)) !=
            WithoutPadding(in_b.bytes.substr(skipped))) {
      return kUnwinding;
    }
    for (std::size_t i = 0; i < in_a.relocations.size(); ++i) {
      if (in_a.relocations[i].offset != in_b.relocations[i].offset) {
        return kUnwinding;
      }
      std::string target = WhyNotSameTarget(*a.object, in_a.relocations[i],
                                            *b.object, in_b.relocations[i]);
      if (!target.empty()) return target;
    }
    return "";
  };
  for (std::size_t i = 0; i < a.frames.size(); ++i) {
    // Their length, with the padding, and the way to their CIE differ.
    std::string of_frame = why(a.frames[i], b.frames[i], 8);
    if (!of_frame.empty()) return of_frame;
    of_frame = why(a.object->common_frames()[a.frames[i].common],
                   b.object->common_frames()[b.frames[i].common], 8);
    if (!of_frame.empty()) return of_frame;
  }
  return "";
}

std::string Comparison::WhyNotSameSection(const Object& a, const Section& in_a,
                                          const Object& b,
                                          const Section& in_b) {
  const auto key = std::make_pair(&in_a, &in_b);
  const auto found = known_.find(key);
  if (found != known_.end()) return found->second;
  // Two that refer to each other are the same if nothing else says otherwise.
  // If something does, what has been found to be the same meanwhile may rest on
  // that, and is forgotten.
  known_[key] = "";
  const std::size_t begin = found_same_.size();
  std::string why = WhyNotSameSectionNow(a, in_a, b, in_b);
  if (why.empty()) {
    found_same_.push_back(key);
    return why;
  }
  for (std::size_t i = begin; i < found_same_.size(); ++i) {
    known_.erase(found_same_[i]);
  }
  found_same_.resize(begin);
  known_[key] = why;
  return why;
}

std::string Comparison::WhyNotSameSectionNow(const Object& a,
                                             const Section& in_a,
                                             const Object& b,
                                             const Section& in_b) {
  if (in_a.size != in_b.size) {
    return absl::StrCat(in_a.size, " -> ", in_b.size, " bytes");
  }
  // A group may be given up or joined: that changes no contents.
  constexpr std::uint64_t kIgnored = SHF_GROUP;
  if (in_a.type != in_b.type || ((in_a.flags ^ in_b.flags) & ~kIgnored) != 0 ||
      in_a.alignment != in_b.alignment) {
    return "the kind of its section";
  }
  if (in_a.relocations.size() != in_b.relocations.size()) {
    return "what it refers to";
  }
  for (std::size_t i = 0; i < in_a.relocations.size(); ++i) {
    const Relocation& of_a = in_a.relocations[i];
    const Relocation& of_b = in_b.relocations[i];
    if (of_a.offset != of_b.offset || of_a.type != of_b.type) {
      return absl::StrCat(in_a.Has(SHF_EXECINSTR) ? "its code" : "its contents",
                          " at +", std::min(of_a.offset, of_b.offset));
    }
  }
  if (in_a.bytes != in_b.bytes &&
      !(in_a.Has(SHF_EXECINSTR) && questions_.differs_in_lines_only &&
        questions_.differs_in_lines_only(a, in_a, b, in_b))) {
    const auto at = static_cast<std::uint64_t>(
        std::mismatch(in_a.bytes.begin(), in_a.bytes.end(), in_b.bytes.begin())
            .first -
        in_a.bytes.begin());
    return absl::StrCat(in_a.Has(SHF_EXECINSTR) ? "its code" : "its contents",
                        " at +", at);
  }
  for (std::size_t i = 0; i < in_a.relocations.size(); ++i) {
    std::string why =
        WhyNotSameTarget(a, in_a.relocations[i], b, in_b.relocations[i]);
    if (!why.empty()) return why;
  }
  return "";
}

std::string Comparison::WhyNotSameTarget(const Object& a,
                                         const Relocation& in_a,
                                         const Object& b,
                                         const Relocation& in_b) {
  if (in_a.type != in_b.type) return "what it refers to";
  const Symbol& of_a = a.SymbolOf(in_a);
  const Symbol& of_b = b.SymbolOf(in_b);
  const Unit* unit_a = a.UnitOf(of_a.section);
  const Unit* unit_b = b.UnitOf(of_b.section);
  const auto other = [&] {
    return absl::StrCat("refers to ", ReadableTarget(b, in_b), " in place of ",
                        ReadableTarget(a, in_a));
  };
  if (of_a.section == kAbsolute || of_b.section == kAbsolute) {
    return of_a.section == of_b.section && of_a.name == of_b.name &&
                   of_a.value == of_b.value && in_a.addend == in_b.addend
               ? ""
               : other();
  }
  const bool is_named_a = !of_a.is_local() || of_a.section == kUndefined;
  const bool is_named_b = !of_b.is_local() || of_b.section == kUndefined;
  if (is_named_a && is_named_b) {
    if (of_a.name != of_b.name || in_a.addend != in_b.addend) return other();
    if (unit_b == nullptr) unit_b = DefinedByNew(of_b.name);
    if (unit_b == nullptr) return "";
    if (unit_b->is_separate) return other();
    if (unit_b->old != nullptr && unit_b->is_variable() &&
        unit_b->is_constant() && !IsVirtualTable(unit_b->name) &&
        !IsTypeInfo(unit_b->name)) {
      const std::string why =
          WhyNotSameSection(*unit_b->old->object, unit_b->old->main(),
                            *unit_b->object, unit_b->main());
      if (!why.empty()) {
        return absl::StrCat("constant ", Demangle(unit_b->name), ": ", why);
      }
    }
    return "";
  }
  if (unit_a == nullptr || unit_b == nullptr) {
    // A static that is defined in another object now, or was.
    if (unit_b == nullptr) unit_b = DefinedByNew(of_b.name);
    if (unit_a == nullptr) {
      const auto found = old_globals_.find(of_a.name);
      if (found != old_globals_.end()) unit_a = found->second;
    }
    if (unit_a == nullptr || unit_b == nullptr || unit_b->old != unit_a ||
        OffsetInTarget(a, in_a) != OffsetInTarget(b, in_b)) {
      return other();
    }
    return "";
  }
  const Section& section_a = a.elf().sections()[of_a.section];
  const Section& section_b = b.elf().sections()[of_b.section];
  if (is_named_a != is_named_b) {
    return unit_b->old == unit_a &&
                   OffsetInTarget(a, in_a) == OffsetInTarget(b, in_b)
               ? ""
               : other();
  }
  if (section_a.Has(SHF_MERGE) && section_b.Has(SHF_MERGE)) {
    if (MergedContents(a, in_a) == MergedContents(b, in_b)) return "";
    const std::string before = Quoted(a, in_a);
    const std::string now = Quoted(b, in_b);
    return before.empty() ? "a constant"
                          : absl::StrCat("string ", before, " -> ", now);
  }
  if (unit_a->kind != unit_b->kind) return other();
  if (of_a.value + static_cast<std::uint64_t>(in_a.addend) !=
      of_b.value + static_cast<std::uint64_t>(in_b.addend)) {
    return unit_a->is_anonymous() ? "a constant" : other();
  }
  if (unit_b->is_anonymous()) {
    return WhyNotSameSection(a, section_a, b, section_b);
  }
  if (unit_b->old != unit_a) return other();
  if (unit_b->is_function()) {
    // References to its cold part, and to clones, which nothing redirects.
    if (of_a.section != unit_a->main().index &&
        of_b.section == unit_b->main().index) {
      return other();
    }
    if (IsClone(unit_b->name)) {
      return WhyNotSameSection(a, section_a, b, section_b);
    }
    return "";
  }
  if (unit_b->is_constant() && !unit_b->is_global() &&
      !IsVirtualTable(unit_b->name) && !IsTypeInfo(unit_b->name)) {
    const std::string why = WhyNotSameSection(a, section_a, b, section_b);
    return why.empty()
               ? ""
               : absl::StrCat("constant ", Demangle(unit_b->name), ": ", why);
  }
  return "";
}

void Comparison::CheckMatchesByOrder() {
  for (const Unit* variable : by_order_) {
    for (const auto& unit : variable->object->units()) {
      if (unit->status == UnitStatus::kSame || unit->is_anonymous()) continue;
      for (const Section* part : unit->parts) {
        for (const Relocation& relocation : part->relocations) {
          if (variable->object->TargetOf(relocation) != variable) continue;
          findings_.Refuse(
              variable->object->name(),
              absl::StrCat("static variables of the name ",
                           Demangle(WithoutNumbers(variable->name)),
                           " cannot be told apart, and ", Demangle(unit->name),
                           ", which uses one, has changed. Give them names of "
                           "their own, or compile both builds with -g"));
        }
      }
    }
  }
}

// --- What that means ---

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
      } else if (unit->is_initializer()) {
        JudgeInitializer(*unit);
      } else if (unit->is_variable()) {
        JudgeVariable(*unit);
      }
    }
    for (const Unit* unit : pair.new_object->constructors()) {
      if (unit->status == UnitStatus::kSame) continue;
      findings_.Warn(pair.new_object->name(),
                     absl::StrCat(Demangle(unit->name),
                                  " runs when a program starts, which has "
                                  "been: it does not run for the update"));
    }
  }
  for (const Unit* unit : gone_) {
    if (unit->is_initializer()) continue;
    findings_.Note(
        unit->object->name(),
        absl::StrCat(unit->is_function() ? "function " : "variable ",
                     Demangle(unit->name), " is gone: the program keeps it"));
  }
}

void Comparison::JudgeVariable(const Unit& unit) {
  const std::string readable = Demangle(unit.name);
  const std::string& object = unit.object->name();
  if (unit.status == UnitStatus::kNew) {
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
    } else if (unit.old->main().flags != unit.main().flags &&
               unit.main().Has(SHF_TLS) != unit.old->main().Has(SHF_TLS)) {
      findings_.Refuse(object,
                       absl::StrCat("variable ", readable,
                                    " is thread_local in one build only"));
    } else {
      findings_.Warn(object,
                     absl::StrCat("variable ", readable,
                                  " keeps its value: only its initial value "
                                  "has changed (",
                                  unit.why, ")"));
    }
  } else if (unit.is_global()) {
    changed_constants_.push_back(&unit);
    findings_.Note(
        object, absl::StrCat("constant ", readable, " has changed (", unit.why,
                             "): functions that use it get the new "
                             "one, pointers to the old one stay"));
  }
}

void Comparison::JudgeInitializer(const Unit& unit) {
  if (unit.status == UnitStatus::kSame) return;
  const std::string& object = unit.object->name();
  std::set<std::string> refused;
  for (const Section* part : unit.parts) {
    for (const Relocation& relocation : part->relocations) {
      const Unit* target = unit.object->TargetOf(relocation);
      if (target != nullptr && target->is_variable() &&
          target->status == UnitStatus::kNew) {
        refused.insert(Demangle(target->name));
      }
    }
  }
  for (const std::string& name : refused) {
    findings_.Refuse(
        object,
        absl::StrCat("variable ", name,
                     " is new and has an initializer that runs when a program "
                     "starts. Initialize it by a constant, or make it a static "
                     "variable of a function that returns it"));
  }
  findings_.Warn(
      object, absl::StrCat("static initializers have changed (",
                           unit.status == UnitStatus::kNew ? std::string("new")
                                                           : unit.why,
                           "): they do not run again"));
}

}  // namespace differ
}  // namespace instar
