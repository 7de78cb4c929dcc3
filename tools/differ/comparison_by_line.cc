// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What is local to a file and named by the number of its line
// (dwarf/named_by_line.h): its name says nothing of what it was before.

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "tools/differ/comparison.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {

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
  std::set<std::string> own;
  for (const Object* object :
       {pair.old_object, static_cast<const Object*>(pair.new_object)}) {
    for (const auto& unit : object->units()) {
      if (unit->is_anonymous() || unit->is_global() || unit->is_compound ||
          unit->is_initializer()) {
        continue;
      }
      (ByLine(*unit).has_value() ? by_line : own).insert(KeyOf(*unit));
    }
  }
  for (const std::string& key : own) by_line.erase(key);
  return by_line;
}

// Which is which, the text of the line tells that declares it. Of the others,
// functions are paired by their code, and variables by their order: either has
// to turn out to be the same (CompareUnit(), CheckMatchesByOrder()). What is
// left is gone, or new.
void Comparison::MatchByLine(const ObjectPair& pair, Bucket bucket) {
  const auto match = [&](const auto& fits, const auto& note) {
    Units left;
    for (Unit* unit : bucket.new_units) {
      const auto fits_it = [&](const Unit* old_unit) {
        return fits(*old_unit, *unit);
      };
      const auto found = std::find_if(bucket.old_units.begin(),
                                      bucket.old_units.end(), fits_it);
      if (found == bucket.old_units.end() ||
          std::count_if(bucket.old_units.begin(), bucket.old_units.end(),
                        fits_it) != 1 ||
          std::count_if(
              bucket.new_units.begin(), bucket.new_units.end(),
              [&](const Unit* other) { return fits(**found, *other); }) != 1) {
        left.push_back(unit);
        continue;
      }
      Pair(*found, unit);
      note(unit);
    }
    bucket.new_units = std::move(left);
    bucket.old_units.erase(
        std::remove_if(
            bucket.old_units.begin(), bucket.old_units.end(),
            [&](const Unit* unit) { return new_of_.count(unit) != 0; }),
        bucket.old_units.end());
  };
  match(
      [&](const Unit& was, const Unit& is) {
        return questions_.declared_in_same_text(was, is);
      },
      [](Unit*) {});
  if (bucket.old_units.empty() || bucket.new_units.empty()) return;
  if (bucket.new_units.front()->is_function()) {
    match([](const Unit& was,
             const Unit& is) { return was.main().bytes == is.main().bytes; },
          [&](Unit* unit) { guessed_.insert(unit); });
    return;
  }
  const bool is_one = bucket.old_units.size() == 1;
  Units by_order;
  match(
      [&](const Unit& was, const Unit& is) {
        const std::optional<NameByLine> a = ByLine(was);
        const std::optional<NameByLine> b = ByLine(is);
        return a->order == b->order && a->of == b->of &&
               (!is_one || UserKeysOf(was) == UserKeysOf(is));
      },
      [&](Unit* unit) { by_order.push_back(unit); });
  if (by_order.size() > 1) by_order_.push_back(std::move(by_order));
  if (!bucket.old_units.empty() && !bucket.new_units.empty()) {
    RefuseBucket(pair, bucket);
  }
}

}  // namespace differ
}  // namespace instar
