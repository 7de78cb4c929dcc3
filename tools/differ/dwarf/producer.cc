// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/producer.h"

#include <dwarf.h>

#include <algorithm>
#include <cstddef>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace instar {
namespace differ {
namespace {

std::string Text(const DieTree& dies, DieIndex die, unsigned int code) {
  const DieAttribute* const attribute = dies.Find(die, code);
  if (attribute == nullptr || attribute->kind != DieAttribute::Kind::kBlock) {
    return "";
  }
  return std::string(attribute->block());
}

// What says only how much is described, and how; and what names the object
// (Bazel gives each one a seed of its own), for names that nobody else sees.
bool IsWithoutEffect(absl::string_view flag) {
  return absl::StartsWith(flag, "-g") ||
         absl::StartsWith(flag, "-frandom-seed") ||
         absl::StartsWith(flag, "-fdebug-prefix-map") ||
         absl::StartsWith(flag, "-fvar-tracking") ||
         absl::StartsWith(flag, "-feliminate-unused-debug");
}

std::vector<std::string> Relevant(const std::vector<std::string>& flags) {
  std::vector<std::string> result;
  for (const std::string& flag : flags) {
    if (!IsWithoutEffect(flag)) result.push_back(flag);
  }
  return result;
}

std::vector<std::string> Without(const std::vector<std::string>& flags,
                                 const std::vector<std::string>& others) {
  std::vector<std::string> result;
  for (const std::string& flag : flags) {
    if (std::find(others.begin(), others.end(), flag) == others.end()) {
      result.push_back(flag);
    }
  }
  return result;
}

std::string Difference(const UnitProducer& old_unit,
                       const UnitProducer& new_unit) {
  if (old_unit.compiler != new_unit.compiler) {
    return absl::StrCat(new_unit.source, " was compiled by ", old_unit.compiler,
                        " in the old build and by ", new_unit.compiler,
                        " in the new one; build both with the same compiler");
  }
  const std::vector<std::string> old_flags = Relevant(old_unit.flags);
  const std::vector<std::string> new_flags = Relevant(new_unit.flags);
  if (old_flags == new_flags) return "";
  const std::vector<std::string> gone = Without(old_flags, new_flags);
  const std::vector<std::string> come = Without(new_flags, old_flags);
  const std::string how =
      gone.empty() && come.empty()
          ? absl::StrCat("with ", absl::StrJoin(old_flags, " "),
                         " in the old build and with ",
                         absl::StrJoin(new_flags, " "), " in the new one")
      : gone.empty() ? absl::StrCat("without ", absl::StrJoin(come, " "),
                                    " in the old build and with it in the new")
      : come.empty()
          ? absl::StrCat("with ", absl::StrJoin(gone, " "),
                         " in the old build and without it in the "
                         "new")
          : absl::StrCat("with ", absl::StrJoin(gone, " "),
                         " in the old build and with ",
                         absl::StrJoin(come, " "), " instead in the new");
  return absl::StrCat(new_unit.source, " was compiled ", how,
                      "; build both with the same flags");
}

}  // namespace

std::vector<UnitProducer> ProducersOf(const ObjectDebugInfo& object) {
  const DieTree& dies = object.dies();
  std::vector<UnitProducer> producers;
  for (const DieIndex unit : dies.units()) {
    UnitProducer producer;
    const char* const source = dies.NameOf(unit);
    producer.source = source == nullptr ? object.file().path() : source;
    producer.folder = Text(dies, unit, DW_AT_comp_dir);
    const std::vector<std::string> words = absl::StrSplit(
        Text(dies, unit, DW_AT_producer), ' ', absl::SkipEmpty());
    const auto first_flag = std::find_if(
        words.begin(), words.end(),
        [](const std::string& word) { return absl::StartsWith(word, "-"); });
    producer.compiler = absl::StrJoin(words.begin(), first_flag, " ");
    producer.flags.assign(first_flag, words.end());
    producers.push_back(std::move(producer));
  }
  return producers;
}

std::string ProducerDifference(const std::vector<UnitProducer>& old_units,
                               const std::vector<UnitProducer>& new_units) {
  const std::size_t both = std::min(old_units.size(), new_units.size());
  for (std::size_t i = 0; i < both; ++i) {
    std::string difference = Difference(old_units[i], new_units[i]);
    if (!difference.empty()) return difference;
  }
  if (old_units.size() != new_units.size()) {
    return absl::StrCat("the object consists of ", old_units.size(),
                        " compilation units in the old build and of ",
                        new_units.size(),
                        " in the new one; compare what the compiler writes");
  }
  return "";
}

bool IsOptimized(const std::vector<UnitProducer>& units) {
  return std::all_of(units.begin(), units.end(), [](const UnitProducer& unit) {
    const auto level = std::find_if(
        unit.flags.rbegin(), unit.flags.rend(),
        [](const std::string& flag) { return absl::StartsWith(flag, "-O"); });
    return level != unit.flags.rend() && *level != "-O0";
  });
}

}  // namespace differ
}  // namespace instar
