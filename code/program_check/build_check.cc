// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/program_check/build_check.h"

#include <dwarf.h>
#include <elf.h>
#include <elfutils/libdw.h>
#include <gelf.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/linux/mapped_file.h"
#include "base/linux/own_descriptor.h"
#include "base/status_macros.h"
#include "code/symbols/images/elf_file.h"
#include "code/symbols/images/loaded_images.h"
#include "code/symbols/images/symbol_table.h"
#include "code/symbols/inlining/dwarf_file.h"

namespace instar {
namespace {

using code_internal::DwarfFile;
using code_internal::ElfFile;
using code_internal::LoadedImages;
using code_internal::SymbolTable;

// By this a unit is known that was compiled for updates.
constexpr absl::string_view kEntries = "-fpatchable-function-entry=";

// What such a unit must have been compiled with; of those that differ between
// compilers, what GCC calls them. Missing from what the compiler notes of
// itself is what is its default.
constexpr const char* kNeeded[] = {
    "-fPIC",
    "-fno-ipa-ra",
    "-fno-ipa-modref",
    "-fno-ipa-pure-const",
    "-fno-ipa-reference",
    "-fno-ipa-reference-addressable",
    "-fno-ipa-vrp",
    "-fno-devirtualize",
    "-fno-ipa-icf",
    "-fno-ipa-cp",
    "-fno-ipa-sra",
    "-fno-partial-inlining",
    "-fno-ipa-stack-alignment",
};
constexpr const char* kForbidden[] = {
    "-fcf-protection=full",
    "-fcf-protection=return",
    "-fcf-protection=branch",
};

// With it functions of external linkage are treated like static ones: inlined
// in their file, which debug information tells, and known not to throw.
constexpr char kInlining[] = "-fno-semantic-interposition";

bool HasFlag(absl::string_view producer, absl::string_view flag) {
  for (size_t at = producer.find(flag); at != absl::string_view::npos;
       at = producer.find(flag, at + 1)) {
    const size_t end = at + flag.size();
    if (at > 0 && producer[at - 1] == ' ' &&
        (end == producer.size() || producer[end] == ' ')) {
      return true;
    }
  }
  return false;
}

// What is wrong with some units: how many, and the first one's name.
class Findings {
 public:
  void Add(const std::string& what, const char* unit) {
    auto& [count, example] = by_what_[what];
    if (count++ == 0) example = unit == nullptr ? "?" : unit;
  }

  void AppendTo(std::vector<std::string>* remarks) const {
    for (const auto& [what, found] : by_what_) {
      const auto& [count, example] = found;
      remarks->push_back(absl::StrCat(
          example,
          count > 1 ? absl::StrCat(" and ", count - 1, " other source files")
                    : "",
          " ", what));
    }
  }

 private:
  std::map<std::string, std::pair<int, std::string>> by_what_;
};

constexpr char kRemedy[] =
    "; build with updatable_cc_library (//tools:defs.bzl)";

void CheckUnit(Dwarf_Die* unit, Findings& findings) {
  Dwarf_Attribute attribute;
  if (dwarf_attr(unit, DW_AT_producer, &attribute) == nullptr) return;
  const char* const text = dwarf_formstring(&attribute);
  if (text == nullptr) return;
  const absl::string_view producer(text);
  const char* const name = dwarf_diename(unit);
  // With link-time optimization the flags are not those of the unit.
  if (absl::StartsWith(producer, "GNU GIMPLE") ||
      absl::StrContains(producer, " -flto")) {
    findings.Add(
        absl::StrCat("was compiled with link-time optimization (-flto), which "
                     "inlines and clones what updates rely on; link without"),
        name);
    return;
  }
  if (!absl::StrContains(producer, kEntries)) return;
  if (!absl::StartsWith(producer, "GNU ")) {
    findings.Add(
        absl::StrCat("was compiled for updates by another compiler than GCC (",
                     producer.substr(0, 60),
                     "), which does not promise what they rely on"),
        name);
    return;
  }
  for (const char* const flag : kNeeded) {
    if (HasFlag(producer, flag)) continue;
    findings.Add(
        absl::StrCat("was compiled for updates without ", flag, kRemedy), name);
  }
  for (const char* const flag : kForbidden) {
    if (!HasFlag(producer, flag)) continue;
    findings.Add(absl::StrCat("was compiled for updates with ", flag, kRemedy),
                 name);
  }
  if (absl::StartsWith(producer, "GNU C++") && HasFlag(producer, kInlining)) {
    findings.Add(
        absl::StrCat(
            "was compiled for updates with ", kInlining,
            ": callers in the file of a function that does not throw have no "
            "handler should its next version throw; redefine them with it, as "
            "instar-diff does"),
        name);
  }
}

absl::Status CheckUnits(int file, std::vector<std::string>* remarks) {
  const TruncationGuard guard;  // it may be overwritten at any time
  absl::StatusOr<DwarfFile> dwarf = DwarfFile::Of(file);
  if (absl::IsNotFound(dwarf.status())) return absl::OkStatus();
  INSTAR_RETURN_IF_ERROR(dwarf.status());
  Findings findings;
  // What the compiler notes of itself is in both parts of one that was split,
  // or in the other one alone.
  INSTAR_RETURN_IF_ERROR(
      dwarf->ForEachUnit([&](Dwarf_Die* unit, Dwarf_Die* contents) {
        CheckUnit(contents == nullptr ? unit : contents, findings);
        return true;
      }));
  if (guard.has_hit()) {
    return absl::FailedPreconditionError(
        "its file was overwritten while it was read");
  }
  findings.AppendTo(remarks);
  return absl::OkStatus();
}

// Of the note of type NT_GNU_PROPERTY_TYPE_0 (Linux Extensions to gABI): the
// bits of x86 features that all of the program has.
uint32_t X86Features(absl::string_view descriptor) {
  while (descriptor.size() >= 8) {
    uint32_t type = 0;
    uint32_t size = 0;
    memcpy(&type, descriptor.data(), 4);
    memcpy(&size, descriptor.data() + 4, 4);
    descriptor.remove_prefix(8);
    if (size > descriptor.size()) break;
    if (type == GNU_PROPERTY_X86_FEATURE_1_AND && size >= 4) {
      uint32_t features = 0;
      memcpy(&features, descriptor.data(), 4);
      return features;
    }
    descriptor.remove_prefix(
        std::min<size_t>(descriptor.size(), (size + 7) / 8 * 8));
  }
  return 0;
}

void CheckProperties(Elf* elf, const std::string& name,
                     std::vector<std::string>* remarks) {
  for (Elf_Scn* section = nullptr;
       (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr ||
        header.sh_type != SHT_NOTE) {
      continue;
    }
    Elf_Data* const data = elf_getdata(section, nullptr);
    if (data == nullptr) continue;
    GElf_Nhdr note;
    size_t name_at = 0;
    size_t descriptor_at = 0;
    for (size_t at = 0;
         (at = gelf_getnote(data, at, &note, &name_at, &descriptor_at)) > 0;) {
      const char* const bytes = static_cast<const char*>(data->d_buf);
      if (note.n_type != NT_GNU_PROPERTY_TYPE_0 || note.n_namesz != 4 ||
          memcmp(bytes + name_at, "GNU", 4) != 0) {
        continue;
      }
      if ((X86Features({bytes + descriptor_at, note.n_descsz}) &
           GNU_PROPERTY_X86_FEATURE_1_SHSTK) != 0) {
        remarks->push_back(absl::StrCat(
            name,
            " asks for shadow stacks (-z shstk), with which a thread that is "
            "stopped at a function's entry is ended by the processor; link "
            "without"));
        return;
      }
    }
  }
}

absl::Status CheckPropertiesOf(int file, const std::string& name,
                               std::vector<std::string>* remarks) {
  const TruncationGuard guard;
  INSTAR_ASSIGN_OR_RETURN(const ElfFile read, ElfFile::Of(file));
  std::vector<std::string> found;
  CheckProperties(read.elf(), name, &found);
  if (guard.has_hit()) {
    return absl::FailedPreconditionError(
        "its file was overwritten while it was read");
  }
  remarks->insert(remarks->end(), found.begin(), found.end());
  return absl::OkStatus();
}

absl::Status Check(const SymbolTable& symbols, const std::string& name,
                   std::vector<std::string>* remarks) {
  {
    INSTAR_ASSIGN_OR_RETURN(const OwnDescriptor file, symbols.OpenFile());
    INSTAR_RETURN_IF_ERROR(CheckPropertiesOf(file.number(), name, remarks));
  }
  if (!symbols.has_local_symbols() && symbols.HasPatchableEntries()) {
    remarks->push_back(absl::StrCat(
        name,
        " was stripped, and its debug file was not found (by .gnu_debuglink "
        "beside it, in .debug and in /usr/lib/debug; by its build id in "
        "/usr/lib/debug/.build-id): updates know the functions and variables "
        "that it exports, and no others, nor what was inlined; install the "
        "debug file that belongs to it"));
    return absl::OkStatus();
  }
  INSTAR_ASSIGN_OR_RETURN(const OwnDescriptor file,
                          symbols.OpenDebugInformation());
  return CheckUnits(file.number(), remarks);
}

std::vector<std::string> CheckOrSayWhyNot(
    const absl::StatusOr<const SymbolTable*>& symbols,
    const std::string& name) {
  std::vector<std::string> remarks;
  absl::Status status = symbols.status();
  try {
    if (status.ok()) status = Check(**symbols, name, &remarks);
  } catch (const std::bad_alloc&) {
    status = absl::ResourceExhaustedError("there is no memory");
  }
  if (!status.ok()) {
    remarks.push_back(absl::StrCat(
        "what ", name, " was built with is not known: ", status.message()));
  }
  return remarks;
}

}  // namespace

namespace code_internal {

std::vector<std::string> CheckBuildOf(const std::string& path,
                                      const std::string& name) {
  const absl::StatusOr<std::unique_ptr<SymbolTable>> symbols =
      SymbolTable::OfFile(path, path);
  if (!symbols.ok()) return CheckOrSayWhyNot(symbols.status(), name);
  return CheckOrSayWhyNot(symbols->get(), name);
}

}  // namespace code_internal

std::vector<std::string> CheckBuild() {
  const auto images = LoadedImages::Current();
  return CheckOrSayWhyNot(images->images().front().symbols, "the program");
}

}  // namespace instar
