// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/waited_functions.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "code/symbols/images/symbol_name.h"
#include "tools/differ/dwarf/inlined_calls.h"
#include "tools/differ/elf_file.h"
#include "tools/differ/judges/never_left.h"
#include "tools/differ/unit_names.h"

namespace instar {
namespace differ {
namespace {

using code_internal::Demangle;
using code_internal::QualifiedName;

// As it stands in debug information: without what it is in, and without the
// arguments of a template.
absl::string_view Identifier(absl::string_view name) {
  name = name.substr(0, name.find('<'));
  const std::size_t scope = name.rfind(':');
  return scope == absl::string_view::npos ? name : name.substr(scope + 1);
}

bool HasCompressedDebugInfo(const ElfFile& elf) {
  const auto& sections = elf.sections();
  return std::any_of(
      sections.begin(), sections.end(),
      [](const Section& section) { return section.Has(SHF_COMPRESSED); });
}

}  // namespace

absl::Status AddObjectsWith(const std::set<std::string>& functions,
                            const std::vector<ObjectFiles>& files,
                            std::set<std::string>& objects) {
  if (functions.empty()) return absl::OkStatus();
  for (const ObjectFiles& one : files) {
    if (one.old_path.empty()) continue;
    INSTAR_ASSIGN_OR_RETURN(const ElfFile elf, ElfFile::Read(one.old_path));
    const bool may_have_one =
        HasCompressedDebugInfo(elf) ||
        std::any_of(functions.begin(), functions.end(),
                    [&elf](const std::string& function) {
                      return elf.bytes().find(Identifier(function)) !=
                             absl::string_view::npos;
                    });
    if (may_have_one) objects.insert(one.name);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<const Unit*>> WaitedFunctions(
    absl::string_view name, const Comparison& comparison, DebugAnswers& debug,
    Findings& findings) {
  std::vector<const Unit*> found;
  for (const ObjectPair& pair : comparison.pairs()) {
    if (pair.old_object == nullptr) continue;
    const Object& object = *pair.old_object;
    for (const auto& unit : object.units()) {
      if (unit->is_function() && IsNamed(*unit, name)) {
        found.push_back(unit.get());
      }
    }
    const ObjectDebugInfo* const info = debug.InfoOf(object);
    if (info == nullptr) continue;
    for (const Inliner& inliner : InlinersOf(*info)) {
      const Unit* const unit = object.UnitOf(inliner.place.section);
      if (unit != nullptr && QualifiedName(inliner.inlined) == name) {
        found.push_back(unit);
      }
    }
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  if (found.empty()) {
    return absl::NotFoundError(absl::StrCat(
        "no function ", name,
        " in the objects of the old build: there is nothing to wait for"));
  }
  for (const Unit* function : found) {
    if (IsNeverLeft(*function)) {
      findings.Refuse(
          function->object->name(),
          absl::StrCat(Demangle(function->name), " is never left",
                       QualifiedName(Demangle(function->name)) == name
                           ? ""
                           : absl::StrCat(", and ", name, " is inlined there"),
                       ": an update that waits for it would never be applied"));
    }
  }
  findings.Note(
      "", absl::StrCat("the update waits until ", name, " is on no stack"));
  return found;
}

}  // namespace differ
}  // namespace instar
