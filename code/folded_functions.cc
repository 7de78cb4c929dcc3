// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/folded_functions.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <string>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/string_view.h"
#include "code/debug_file.h"
#include "code/dwarf_file.h"

namespace instar {
namespace {

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

// Where the image can be read: the program also after its file was replaced.
std::string FileOf(const Function& function) {
  const std::string image(function.image());
  char program[PATH_MAX];
  const ssize_t size =
      readlink("/proc/thread-self/exe", program, sizeof(program));
  if (size > 0 && image == absl::string_view(program, size)) {
    return "/proc/thread-self/exe";
  }
  return image;
}

// Those of `names` that are functions of their own; all of them if the debug
// information is not there.
std::set<std::string> Defined(const std::string& path,
                              const std::set<std::string>& names) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return names;
  const auto close_file = absl::MakeCleanup([file] { close(file); });
  Dwarf* const dwarf = dwarf_begin(file, DWARF_C_READ);
  if (dwarf == nullptr) {
    // It may have a debug file.
    Elf* const elf = elf_begin(file, ELF_C_READ_MMAP, nullptr);
    const std::string debug_file =
        elf == nullptr ? "" : code_internal::FindDebugFile(elf, path);
    if (elf != nullptr) elf_end(elf);
    return debug_file.empty() ? names : Defined(debug_file, names);
  }
  const auto end = absl::MakeCleanup([dwarf] { dwarf_end(dwarf); });
  code_internal::ThrowWhenOutOfMemory(dwarf);
  Definitions definitions{names, {}};
  bool has_units = false;
  Dwarf_CU* unit = nullptr;
  Dwarf_Die die;
  while (dwarf_get_units(dwarf, unit, &unit, nullptr, nullptr, &die, nullptr) ==
         0) {
    has_units = true;
    dwarf_getfuncs(&die, &NoteDefinition, &definitions, 0);
  }
  return has_units ? definitions.found : names;
}

}  // namespace

std::vector<std::string> FunctionsFoldedInto(const Function& function) {
  const std::string own = WithoutKind(std::string(function.linkage_name()));
  std::set<std::string> others;
  for (const char* const name : function.linkage_names()) {
    std::string known = WithoutKind(name);
    if (known != own) others.insert(std::move(known));
  }
  if (others.empty()) return {};
  std::set<std::string> all = others;
  all.insert(own);
  const std::set<std::string> defined = Defined(FileOf(function), all);
  // One of them is the function itself, whichever name comes first.
  if (defined.size() < 2) return {};
  others = defined;
  others.erase(own);
  return std::vector<std::string>(others.begin(), others.end());
}

}  // namespace instar
