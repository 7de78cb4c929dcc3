// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/files/definitions_of_names.h"

#include <elf.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/elf_file.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;

// Object, section, and value.
using Place = std::tuple<std::string, std::uint32_t, std::uint64_t>;

struct Definition {
  Place place;
  bool is_weak;

  const std::string& object() const { return std::get<0>(place); }
};

// Of one build.
struct Names {
  std::map<std::string, Definition> defined;  // that which the linker takes
  std::map<std::string, std::string> used;    // and not defined: an object

  void Add(const std::string& object, const ElfFile& elf) {
    for (const Symbol& symbol : elf.symbols()) {
      if (symbol.is_local() || symbol.name.empty()) continue;
      const std::string name(symbol.name);
      if (symbol.section == kUndefined) {
        used.emplace(name, object);
        continue;
      }
      if (symbol.section < elf.sections().size() &&
          !elf.sections()[symbol.section].group.empty()) {
        continue;
      }
      const Definition definition{{object, symbol.section, symbol.value},
                                  symbol.binding == STB_WEAK};
      const auto inserted = defined.emplace(name, definition);
      if (!inserted.second && inserted.first->second.is_weak &&
          !definition.is_weak) {
        inserted.first->second = definition;
      }
    }
  }
};

// The names of each place.
std::map<Place, std::set<std::string>> Places(const Names& names) {
  std::map<Place, std::set<std::string>> places;
  for (const auto& [name, definition] : names.defined) {
    const std::uint32_t section = std::get<1>(definition.place);
    if (section >= SHN_LORESERVE) continue;  // absolute, or common
    places[definition.place].insert(name);
  }
  return places;
}

// Names that share a place in `build`, and not in `other`.
void JudgeAliases(const Names& build, const Names& other, bool is_new,
                  Findings& findings) {
  for (const auto& [place, names] : Places(build)) {
    if (names.size() < 2) continue;
    const Definition* first = nullptr;
    std::string first_name;
    for (const std::string& name : names) {
      const auto found = other.defined.find(name);
      if (found == other.defined.end()) continue;
      if (first == nullptr) {
        first = &found->second;
        first_name = name;
      } else if (first->place != found->second.place) {
        findings.Refuse(
            std::get<0>(place),
            absl::StrCat(Demangle(name), " and ", Demangle(first_name),
                         is_new ? " are one now, and were two"
                                : " were one, and are two now",
                         ": what uses them by name, and has not changed, "
                         "would go on as before. Give what is new a name of "
                         "its own"));
      }
    }
  }
}

}  // namespace

absl::Status JudgeDefinitions(const std::vector<ObjectFiles>& files,
                              Findings& findings) {
  Names before, now;
  for (const ObjectFiles& one : files) {
    if (!one.old_path.empty()) {
      INSTAR_ASSIGN_OR_RETURN(const ElfFile elf, ElfFile::Read(one.old_path));
      before.Add(one.name, elf);
      if (one.is_identical) now.Add(one.name, elf);
    }
    if (!one.new_path.empty() && !one.is_identical) {
      INSTAR_ASSIGN_OR_RETURN(const ElfFile elf, ElfFile::Read(one.new_path));
      now.Add(one.name, elf);
    }
  }
  constexpr char kGoOn[] =
      ": functions that use it, and have not changed, would go on with what it "
      "was. Give what is new a name of its own";
  for (const auto& [name, definition] : now.defined) {
    const auto was = before.defined.find(name);
    if (was == before.defined.end()) {
      const auto user = before.used.find(name);
      if (user == before.used.end()) continue;
      findings.Refuse(definition.object(),
                      absl::StrCat(Demangle(name), ", which ", user->second,
                                   " uses, is defined in the program now, and "
                                   "was not",
                                   kGoOn));
    } else if (was->second.is_weak != definition.is_weak &&
               was->second.object() != definition.object()) {
      findings.Refuse(
          definition.object(),
          absl::StrCat(Demangle(name), " is defined here now, and was in ",
                       was->second.object(), ", and one of the two is weak",
                       kGoOn));
    }
  }
  for (const auto& [name, definition] : before.defined) {
    const auto user = now.used.find(name);
    if (user == now.used.end() || now.defined.count(name) != 0) continue;
    findings.Refuse(definition.object(),
                    absl::StrCat(Demangle(name), ", which ", user->second,
                                 " uses, is not defined in the program any "
                                 "more",
                                 kGoOn));
  }
  JudgeAliases(before, now, /*is_new=*/false, findings);
  JudgeAliases(now, before, /*is_new=*/true, findings);
  return absl::OkStatus();
}

}  // namespace differ
}  // namespace instar
