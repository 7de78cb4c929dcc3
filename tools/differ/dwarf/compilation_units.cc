// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/compilation_units.h"

#include <dwarf.h>
#include <elf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tools/differ/dwarf/relocated_sections.h"

namespace instar {
namespace differ {
namespace {

absl::Status Damaged() {
  return absl::InvalidArgumentError(
      absl::StrCat("has damaged debug information: ", dwarf_errmsg(-1)));
}

std::string StringOf(Dwarf_Die* die, unsigned int code) {
  Dwarf_Attribute attribute;
  if (dwarf_attr(die, code, &attribute) == nullptr) return "";
  const char* const text = dwarf_formstring(&attribute);
  return text == nullptr ? "" : text;
}

std::string InFolder(const std::string& folder, const std::string& name) {
  return folder.empty() || absl::StartsWith(name, "/")
             ? name
             : absl::StrCat(folder, "/", name);
}

CompilationUnit Described(Dwarf_Die* die) {
  CompilationUnit unit;
  unit.name = StringOf(die, DW_AT_name);
  unit.path = InFolder(StringOf(die, DW_AT_comp_dir), unit.name);
  return unit;
}

// Calls `visit` with the entry of each unit that was compiled from a source.
template <typename Visit>
absl::Status ForEachUnit(Dwarf* dwarf, const Visit& visit) {
  Dwarf_CU* unit = nullptr;
  while (true) {
    std::uint8_t kind = 0;
    Dwarf_Die die;
    const int got =
        dwarf_get_units(dwarf, unit, &unit, nullptr, &kind, &die, nullptr);
    if (got < 0) return Damaged();
    if (got > 0) return absl::OkStatus();
    if ((kind == DW_UT_compile || kind == DW_UT_skeleton) &&
        dwarf_tag(&die) == DW_TAG_compile_unit) {
      visit(&die);
    }
  }
}

// The debug information of an object, for a short time.
template <typename Visit>
absl::Status ForEachUnitOfObject(const ElfFile& object, const Visit& visit) {
  INSTAR_ASSIGN_OR_RETURN(const std::unique_ptr<RelocatedSections> sections,
                          RelocatedSections::Of(object));
  Dwarf* const dwarf = dwarf_begin_elf(sections->elf(), DWARF_C_READ, nullptr);
  if (dwarf == nullptr) return Damaged();
  absl::Cleanup end = [dwarf] { dwarf_end(dwarf); };
  return ForEachUnit(dwarf, visit);
}

// Calls `found` with the address of each variable that is defined in this
// scope; with nothing for one that each thread has.
template <typename Found>
void ForEachVariable(Dwarf_Die* scope, const Found& found) {
  Dwarf_Die die;
  if (dwarf_child(scope, &die) != 0) return;
  do {
    const int tag = dwarf_tag(&die);
    if (tag == DW_TAG_namespace) ForEachVariable(&die, found);
    if (tag != DW_TAG_variable) continue;
    Dwarf_Attribute attribute;
    Dwarf_Op* operations = nullptr;
    std::size_t count = 0;
    if (dwarf_attr(&die, DW_AT_location, &attribute) == nullptr ||
        dwarf_getlocation(&attribute, &operations, &count) != 0 || count == 0) {
      continue;
    }
    if (operations[0].atom == DW_OP_addr) {
      found(std::optional<std::uint64_t>(operations[0].number));
    } else if (operations[count - 1].atom == DW_OP_form_tls_address ||
               operations[count - 1].atom == DW_OP_GNU_push_tls_address) {
      found(std::optional<std::uint64_t>());
    }
  } while (dwarf_siblingof(&die, &die) == 0);
}

// The linker leaves the addresses of what it drops, as 0 or what comes out of
// that.
bool IsIn(const ElfFile& image, std::uint64_t address, bool is_code) {
  for (const Elf64_Phdr& segment : image.segments()) {
    if (segment.p_type == PT_LOAD && address != 0 &&
        address >= segment.p_vaddr &&
        address - segment.p_vaddr < segment.p_memsz) {
      return !is_code || (segment.p_flags & PF_X) != 0;
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<std::vector<CompilationUnit>> UnitsOfObject(
    const ElfFile& object) {
  std::vector<CompilationUnit> units;
  INSTAR_RETURN_IF_ERROR(ForEachUnitOfObject(
      object, [&](Dwarf_Die* die) { units.push_back(Described(die)); }));
  return units;
}

absl::StatusOr<std::vector<std::string>> SourcesOfObject(
    const ElfFile& object) {
  std::vector<std::string> sources;
  INSTAR_RETURN_IF_ERROR(ForEachUnitOfObject(object, [&](Dwarf_Die* die) {
    const std::string folder = StringOf(die, DW_AT_comp_dir);
    Dwarf_Files* files = nullptr;
    std::size_t count = 0;
    if (dwarf_hasattr(die, DW_AT_stmt_list) == 0 ||
        dwarf_getsrcfiles(die, &files, &count) != 0) {
      return;
    }
    // In DWARF 4 the first is none.
    for (std::size_t i = 0; i < count; ++i) {
      const char* const name = dwarf_filesrc(files, i, nullptr, nullptr);
      if (name != nullptr && *name != '\0') {
        sources.push_back(InFolder(folder, name));
      }
    }
  }));
  return sources;
}

absl::StatusOr<LinkedUnits> LinkedUnits::Of(const ElfFile& image) {
  static const Dwfl_Callbacks kCallbacks = {
      dwfl_build_id_find_elf, dwfl_standard_find_debuginfo,
      dwfl_offline_section_address, nullptr};
  // Of servers that are named there, libdwfl asks for what is missing: what is
  // made here does not depend on the network.
  unsetenv("DEBUGINFOD_URLS");
  Dwfl* const dwfl = dwfl_begin(&kCallbacks);
  if (dwfl == nullptr) {
    return absl::InternalError(absl::StrCat("libdwfl: ", dwfl_errmsg(-1)));
  }
  absl::Cleanup end = [dwfl] { dwfl_end(dwfl); };
  // Debug information that has a file of its own is looked for beside what the
  // image is a copy of.
  const int file = open(image.copy_path().c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return absl::ErrnoToStatus(
        errno, absl::StrCat(image.copy_path(), " cannot be opened"));
  }
  dwfl_report_begin(dwfl);
  Dwfl_Module* const module =
      dwfl_report_offline(dwfl, "", image.path().c_str(), file);
  dwfl_report_end(dwfl, nullptr, nullptr);
  if (module == nullptr) {
    close(file);  // otherwise libdwfl has it
    return absl::InvalidArgumentError(
        absl::StrCat(image.path(), " cannot be read: ", dwfl_errmsg(-1)));
  }
  LinkedUnits result;
  // Addresses in it are those that the linker gave; it need not be known where
  // libdwfl would have loaded the image.
  Dwarf_Addr bias = 0;
  Dwarf* const dwarf = dwfl_module_getdwarf(module, &bias);
  if (dwarf == nullptr) return result;
  const absl::Status status = ForEachUnit(dwarf, [&](Dwarf_Die* die) {
    Unit unit;
    static_cast<CompilationUnit&>(unit) = Described(die);
    const std::size_t number = result.units_.size();
    Dwarf_Addr base = 0;
    Dwarf_Addr begin = 0;
    Dwarf_Addr stop = 0;
    for (std::ptrdiff_t at = 0;
         (at = dwarf_ranges(die, at, &base, &begin, &stop)) > 0;) {
      if (begin < stop && IsIn(image, begin, /*is_code=*/true)) {
        result.code_[begin] = {stop, number};
        unit.is_empty = false;
      }
    }
    if (unit.is_empty) {
      ForEachVariable(die, [&](std::optional<std::uint64_t> address) {
        if (address && !IsIn(image, *address, /*is_code=*/false)) return;
        if (address) result.variables_[*address] = number;
        unit.is_empty = false;
      });
    }
    result.units_.push_back(std::move(unit));
  });
  if (!status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(image.path(), " ", status.message()));
  }
  return result;
}

std::optional<std::size_t> LinkedUnits::At(std::uint64_t address) const {
  const auto variable = variables_.find(address);
  if (variable != variables_.end()) return variable->second;
  auto stretch = code_.upper_bound(address);
  if (stretch == code_.begin()) return std::nullopt;
  --stretch;
  if (address >= stretch->second.first) return std::nullopt;
  return stretch->second.second;
}

}  // namespace differ
}  // namespace instar
