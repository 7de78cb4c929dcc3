// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/inlining/dwarf_file.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <gelf.h>
#include <libelf.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace instar {
namespace code_internal {
namespace {

// For clang, not to return is a part of the type that libdw asks for, and of
// what this attribute says, but not of a lambda.
__attribute__((noreturn)) void ThrowBadAlloc() { throw std::bad_alloc(); }

constexpr std::uint64_t kMostUnpacked = std::uint64_t{32} << 20;

// libdw ends the program if it cannot have memory for the abbreviations of a
// unit (an assertion), which are by far less than what is asked for here.
bool HasMemory() {
  constexpr std::size_t kEnough = std::size_t{8} << 20;
  void* volatile const memory = std::malloc(kEnough);  // never touched
  std::free(memory);
  return memory != nullptr;
}

// How much is read before libdw, which keeps what it has parsed, is made to
// begin anew.
constexpr Dwarf_Off kReadAtOnce = Dwarf_Off{16} << 20;

// What libdw would unpack, in bytes.
std::uint64_t PackedSize(Elf* elf) {
  std::uint64_t size = 0;
  for (Elf_Scn* section = nullptr;
       (section = elf_nextscn(elf, section)) != nullptr;) {
    GElf_Shdr header;
    GElf_Chdr packed;
    if (gelf_getshdr(section, &header) != nullptr &&
        (header.sh_flags & SHF_COMPRESSED) != 0 &&
        gelf_getchdr(section, &packed) != nullptr) {
      size += packed.ch_size;
    }
  }
  return size;
}

}  // namespace

std::vector<Dwarf_Addr> BeginsOf(Dwarf_Die* function) {
  std::vector<Dwarf_Addr> begins;
  Dwarf_Addr begin = 0;
  if (dwarf_entrypc(function, &begin) == 0) {
    if (begin != 0) begins.push_back(begin);
    return begins;
  }
  Dwarf_Addr base = 0;
  Dwarf_Addr end = 0;
  for (std::ptrdiff_t offset = 0;
       (offset = dwarf_ranges(function, offset, &base, &begin, &end)) > 0;) {
    if (begin != 0) begins.push_back(begin);
  }
  return begins;
}

absl::StatusOr<DwarfFile> DwarfFile::Of(int file) {
  if (!HasMemory()) {
    return absl::ResourceExhaustedError("there is no memory to read it");
  }
  // libelf notes in the section headers where it has unpacked a section, which
  // must be in pages that can be written then.
  std::uint64_t packed = 0;
  {
    INSTAR_ASSIGN_OR_RETURN(const ElfFile elf, ElfFile::Of(file));
    packed = PackedSize(elf.elf());
  }
  if (packed > kMostUnpacked) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "it is compressed and takes ", packed >> 20,
        " MiB of memory; link with --compress-debug-sections=none"));
  }
  INSTAR_ASSIGN_OR_RETURN(ElfFile elf,
                          ElfFile::Of(file, /*writable=*/packed > 0));
  Dwarf* const dwarf = dwarf_begin_elf(elf.elf(), DWARF_C_READ, nullptr);
  if (dwarf == nullptr) return absl::NotFoundError("there is none");
  ThrowWhenOutOfMemory(dwarf);
  return DwarfFile(std::move(elf), dwarf);
}

DwarfFile::DwarfFile(DwarfFile&& other) noexcept
    : elf_(std::move(other.elf_)),
      dwarf_(std::exchange(other.dwarf_, nullptr)) {}

DwarfFile::~DwarfFile() { dwarf_end(dwarf_); }

void ThrowWhenOutOfMemory(Dwarf* dwarf) {
  dwarf_new_oom_handler(dwarf, &ThrowBadAlloc);
}

bool DwarfFile::Reopen() {
  if (!HasMemory()) throw std::bad_alloc();
  dwarf_end(dwarf_);
  dwarf_ = dwarf_begin_elf(elf_.elf(), DWARF_C_READ, nullptr);
  if (dwarf_ == nullptr) return false;
  ThrowWhenOutOfMemory(dwarf_);
  return true;
}

absl::Status DwarfFile::ForEachUnit(
    absl::FunctionRef<bool(Dwarf_Die* unit, Dwarf_Die* contents)> visit) {
  Dwarf_Off read_from = 0;
  Dwarf_Off next = 0;
  std::size_t header_size = 0;
  for (Dwarf_Off unit = 0;
       dwarf_next_unit(dwarf_, unit, &next, &header_size, nullptr, nullptr,
                       nullptr, nullptr, nullptr, nullptr) == 0;
       unit = next) {
    if (next - read_from > kReadAtOnce && unit > read_from) {
      if (!Reopen()) {
        return absl::ResourceExhaustedError(
            "there is no memory for its debug information");
      }
      read_from = unit;
    }
    Dwarf_Die die;
    std::uint8_t type = 0;
    Dwarf_Die split{};
    if (dwarf_offdie(dwarf_, unit + header_size, &die) == nullptr ||
        dwarf_cu_info(die.cu, nullptr, &type, nullptr, &split, nullptr, nullptr,
                      nullptr) != 0) {
      continue;
    }
    Dwarf_Die* contents = &die;
    if (type == DW_UT_skeleton) {
      contents = split.addr == nullptr ? nullptr : &split;
    }
    if (!visit(&die, contents)) break;
  }
  return absl::OkStatus();
}

}  // namespace code_internal
}  // namespace instar
