// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What is local to a file and named by the number of its line
// (dwarf/named_by_line.h): its name says nothing of what it was before.

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/comparison.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {

using code_internal::Demangle;

std::optional<NameByLine> Comparison::ByLine(const Unit& unit) const {
  if (!questions_.name_by_line || unit.is_global() ||
      std::none_of(unit.name.begin(), unit.name.end(), absl::ascii_isdigit)) {
    return std::nullopt;
  }
  return questions_.name_by_line(unit);
}

// By their keys, but for those that one of the builds has as a name that has
// not to do with its line.
std::set<std::string> Comparison::KeysByLine(const ObjectPair& pair) const {
  std::set<std::string> by_line;
  const auto visit = [&](const auto& function) {
    for (const Object* object :
         {pair.old_object, static_cast<const Object*>(pair.new_object)}) {
      for (const auto& unit : object->units()) {
        if (!unit->is_anonymous()) function(*unit, ByLine(*unit).has_value());
      }
    }
  };
  visit([&](const Unit& unit, bool is_by_line) {
    if (is_by_line) by_line.insert(KeyOf(unit));
  });
  if (by_line.empty()) return by_line;
  visit([&](const Unit& unit, bool is_by_line) {
    if (!is_by_line) by_line.erase(KeyOf(unit));
  });
  return by_line;
}

// Of the functions that use it and run more than once, those whose names tell.
std::set<std::string> Comparison::NamedUsersOf(const Unit& used) {
  std::set<std::string> keys;
  for (const Unit* user : UsersOf(used)) {
    if (!user->is_initializer() && !ByLine(*user).has_value()) {
      keys.insert(KeyOf(*user));
    }
  }
  return keys;
}

bool Comparison::MayHaveSameUsers(const Unit& a, const Unit& b) {
  const std::set<std::string> of_a = NamedUsersOf(a);
  const std::set<std::string> of_b = NamedUsersOf(b);
  return (of_a.empty() && of_b.empty()) || HaveCommon(of_a, of_b);
}

// Which is which, the text of the line tells that declares it.
Comparison::Units Comparison::MatchByText(const ObjectPair& pair,
                                          Bucket& bucket) {
  std::map<std::string, std::string> new_files;  // by their names
  for (const Unit* unit : bucket.new_units) {
    const std::filesystem::path file = ByLine(*unit)->file;
    new_files[file.filename()] = file;
  }
  return MatchByKey(
      bucket,
      [&](const Unit& unit) -> std::string {
        const NameByLine named = *ByLine(unit);
        const auto file =
            new_files.find(std::filesystem::path(named.file).filename());
        if (file == new_files.end()) return "";
        const std::string text =
            unit.object == pair.new_object
                ? questions_.text_of_new_line(named)
                : questions_.text_of_old_line(named, file->second);
        // Of an argument in the next line it says nothing.
        if (std::count(text.begin(), text.end(), '(') !=
            std::count(text.begin(), text.end(), ')')) {
          return "";
        }
        return text.empty() ? "" : absl::StrCat(file->first, "\n", text);
      },
      [&](const Unit& a, const Unit& b) { return MayHaveSameUsers(a, b); });
}

// By their names while no line has moved, unless another one had the code;
// otherwise by their code, which has to turn out to be the same
// (CompareUnit()).
void Comparison::MatchFunctionsByLine(Bucket& bucket, bool has_moved) {
  if (!has_moved) {
    const auto is_another = [&](const Unit& was, const Unit& is) {
      return was.main().bytes != is.main().bytes &&
             std::any_of(bucket.old_units.begin(), bucket.old_units.end(),
                         [&](const Unit* other) {
                           return other->main().bytes == is.main().bytes;
                         });
    };
    MatchByKey(
        bucket, [](const Unit& unit) { return unit.name; },
        [&](const Unit& a, const Unit& b) { return !is_another(a, b); });
  }
  const Units guessed = MatchByKey(
      bucket, [](const Unit& unit) { return std::string(unit.main().bytes); });
  guessed_.insert(guessed.begin(), guessed.end());
}

// By their names while no line has moved, otherwise by their order, if those
// that use them agree, and have not changed (CheckMatchesByOrder()).
void Comparison::MatchVariablesByLine(Bucket& bucket, bool has_moved) {
  const bool is_one =
      bucket.old_units.size() == 1 && bucket.new_units.size() == 1;
  const Units matched = MatchByKey(
      bucket,
      [&](const Unit& unit) {
        const NameByLine named = *ByLine(unit);
        return has_moved ? absl::StrCat(named.order, "/", named.of) : unit.name;
      },
      [&](const Unit& a, const Unit& b) {
        if (a.is_constant()) return true;
        const bool is_used =
            is_one ? !NamedUsersOf(a).empty() : !UserKeysOf(a).empty();
        return MayHaveSameUsers(a, b) && (is_used || !has_moved);
      });
  Units by_order;
  std::copy_if(matched.begin(), matched.end(), std::back_inserter(by_order),
               [](const Unit* unit) { return !unit->is_constant(); });
  if (by_order.size() > 1) by_order_.push_back(std::move(by_order));
}

void Comparison::MatchByLine(const ObjectPair& pair, Bucket bucket) {
  if (bucket.old_units.empty() || bucket.new_units.empty()) return;
  const bool are_functions = bucket.new_units.front()->is_function();
  std::set<std::string> old_names;
  std::set<std::string> new_names;
  for (const Unit* unit : bucket.old_units) old_names.insert(unit->name);
  for (const Unit* unit : bucket.new_units) new_names.insert(unit->name);
  const Units all = bucket.new_units;
  const Units by_text = MatchByText(pair, bucket);
  const bool has_moved =
      old_names != new_names ||
      std::any_of(by_text.begin(), by_text.end(), [](const Unit* unit) {
        return unit->name != unit->old->name;
      });
  if (are_functions) {
    MatchFunctionsByLine(bucket, has_moved);
  } else {
    MatchVariablesByLine(bucket, has_moved);
    RefuseGuarded(pair, all);
  }
  if (!bucket.old_units.empty() && !bucket.new_units.empty() &&
      (are_functions || !bucket.new_units.front()->is_constant())) {
    findings_.Refuse(
        pair.new_object->name(),
        absl::StrCat("what is named by its line cannot be told apart: ",
                     BeforeAndNow(bucket),
                     ". Give it names of its own, or give the old sources "
                     "(--old-sources) if they are not there"));
  }
}

// What tells whether a static has been initialized is matched by its name.
void Comparison::RefuseGuarded(const ObjectPair& pair, const Units& variables) {
  for (const Unit* variable : variables) {
    if (variable->old != nullptr && variable->old->name != variable->name &&
        HasGuard(*variable)) {
      findings_.Refuse(
          pair.new_object->name(),
          absl::StrCat("static variable ", Demangle(variable->name),
                       " is named by its line, which has moved, and is "
                       "initialized by the first call. Give it, or the "
                       "function that it is in, a name of its own"));
    }
  }
}

}  // namespace differ
}  // namespace instar
