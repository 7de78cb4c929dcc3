// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/program_check/folded_functions.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <unistd.h>

#include <cctype>
#include <new>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/linux/mapped_file.h"
#include "base/linux/own_descriptor.h"
#include "base/status_macros.h"
#include "code/symbols/images/loaded_images.h"
#include "code/symbols/inlining/dwarf_file.h"

namespace instar {
namespace {

using code_internal::DwarfFile;
using code_internal::LoadedImage;
using code_internal::LoadedImages;
using code_internal::SymbolTable;

// The name with the kind of a constructor or destructor (Itanium C++ ABI,
// 5.1.4.3) taken out of it.
std::string WithoutKind(std::string name) {
  for (size_t i = 0; i + 2 < name.size(); ++i) {
    const bool is_kind =
        (name[i] == 'C' || name[i] == 'D') &&
        std::isdigit(static_cast<unsigned char>(name[i + 1])) != 0;
    if (is_kind && (name[i + 2] == 'E' || name[i + 2] == 'I')) {
      name[i + 1] = '1';
    }
  }
  return name;
}

// The linkage name, of C the plain one; null if the debug information has none.
const char* NameOf(Dwarf_Die* die) {
  Dwarf_Attribute attribute;
  for (const unsigned kind : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name}) {
    if (dwarf_attr_integrate(die, kind, &attribute) != nullptr) {
      return dwarf_formstring(&attribute);
    }
  }
  return dwarf_diename(die);
}

// Names of functions that are looked for, and those that have a definition: the
// linker keeps the description of a function that it has folded.
struct Definitions {
  const std::set<std::string>& wanted;
  std::set<std::string> found;
};

int NoteDefinition(Dwarf_Die* die, void* argument) {
  auto& definitions = *static_cast<Definitions*>(argument);
  if (dwarf_hasattr(die, DW_AT_low_pc) == 0 &&
      dwarf_hasattr(die, DW_AT_ranges) == 0) {
    return DWARF_CB_OK;
  }
  const char* const name = NameOf(die);
  if (name == nullptr) return DWARF_CB_OK;
  const std::string known = WithoutKind(name);
  if (definitions.wanted.count(known) != 0) definitions.found.insert(known);
  return DWARF_CB_OK;
}

// Those of `names` that are functions of their own; all of them if debug
// information does not tell.
absl::StatusOr<std::set<std::string>> Defined(
    const SymbolTable& symbols, const std::set<std::string>& names) {
  INSTAR_ASSIGN_OR_RETURN(const OwnDescriptor file,
                          symbols.OpenDebugInformation());
  const TruncationGuard guard;  // it may be overwritten at any time
  absl::StatusOr<DwarfFile> dwarf = DwarfFile::Of(file.number());
  if (absl::IsNotFound(dwarf.status())) return names;
  INSTAR_RETURN_IF_ERROR(dwarf.status());
  Definitions definitions{names, {}};
  bool has_units = false;
  bool has_all = true;
  INSTAR_RETURN_IF_ERROR(
      dwarf->ForEachUnit([&](Dwarf_Die*, Dwarf_Die* contents) {
        has_units = true;
        if (contents == nullptr) {
          has_all = false;
        } else {
          dwarf_getfuncs(contents, &NoteDefinition, &definitions, 0);
        }
        return true;
      }));
  if (guard.has_hit()) {
    return absl::FailedPreconditionError(
        "its file was overwritten while it was read");
  }
  return has_units && has_all ? definitions.found : names;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> FunctionsFoldedInto(
    const Function& function) try {
  const std::string own = WithoutKind(std::string(function.linkage_name()));
  std::set<std::string> others;
  for (const char* const name : function.linkage_names()) {
    std::string known = WithoutKind(name);
    if (known != own) others.insert(std::move(known));
  }
  if (others.empty()) return std::vector<std::string>();
  std::set<std::string> all = others;
  all.insert(own);
  const auto images = LoadedImages::Current();
  const LoadedImage* const image = images->Find(function.entry());
  if (image == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(function.name(), " is not loaded"));
  }
  absl::StatusOr<std::set<std::string>> defined = Defined(*image->symbols, all);
  if (!defined.ok()) {
    return absl::Status(
        defined.status().code(),
        absl::StrCat("whether ", function.name(),
                     " is one function with others of its names is not known: ",
                     defined.status().message()));
  }
  // One of them is the function itself, whichever name comes first.
  if (defined->size() < 2) return std::vector<std::string>();
  defined->erase(own);
  return std::vector<std::string>(defined->begin(), defined->end());
} catch (const std::bad_alloc&) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "there is no memory for the debug information of ", function.image()));
}

}  // namespace instar
