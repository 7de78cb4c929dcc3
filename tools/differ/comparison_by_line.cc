// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What is local to a file and named by the number of its line
// (dwarf/named_by_line.h): its name says nothing of what it was before.

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
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
  if (bucket.old_units.empty() || bucket.new_units.empty()) return;
  std::map<std::string, std::string> new_files;  // by their names
  for (const Unit* unit : bucket.new_units) {
    const std::filesystem::path file = ByLine(*unit)->file;
    new_files[file.filename()] = file;
  }
  MatchByKey(bucket, [&](const Unit& unit) -> std::string {
    const NameByLine named = *ByLine(unit);
    const auto file =
        new_files.find(std::filesystem::path(named.file).filename());
    if (file == new_files.end()) return "";
    const std::string text =
        unit.object == pair.new_object
            ? questions_.text_of_new_line(named)
            : questions_.text_of_old_line(named, file->second);
    return text.empty() ? "" : absl::StrCat(file->first, "\n", text);
  });
  if (bucket.old_units.empty() || bucket.new_units.empty()) return;
  if (bucket.new_units.front()->is_function()) {
    const Units guessed = MatchByKey(bucket, [](const Unit& unit) {
      return std::string(unit.main().bytes);
    });
    guessed_.insert(guessed.begin(), guessed.end());
    return;
  }
  const bool is_one =
      bucket.old_units.size() == 1 && bucket.new_units.size() == 1;
  Units by_order = MatchByKey(bucket, [&](const Unit& unit) {
    const NameByLine named = *ByLine(unit);
    return absl::StrCat(named.order, "/", named.of, " ",
                        is_one ? absl::StrJoin(UserKeysOf(unit), "\n") : "");
  });
  if (by_order.size() > 1) by_order_.push_back(std::move(by_order));
  if (!bucket.old_units.empty() && !bucket.new_units.empty()) {
    RefuseBucket(pair, bucket);
  }
}

}  // namespace differ
}  // namespace instar
