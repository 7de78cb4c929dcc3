// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/relocated_sections.h"

#include <elf.h>
#include <gelf.h>
#include <libelf.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"

namespace instar {
namespace differ {
namespace {

// What is read, without ".debug" or ".zdebug".
constexpr absl::string_view kKept[] = {
    "_info",   "_abbrev",   "_line", "_str",   "_line_str",
    "_ranges", "_rnglists", "_addr", "_types", "_str_offsets"};

bool IsKept(absl::string_view name) {
  for (absl::string_view prefix : {".debug", ".zdebug"}) {
    if (absl::StartsWith(name, prefix)) {
      name.remove_prefix(prefix.size());
      return std::find(std::begin(kKept), std::end(kKept), name) !=
             std::end(kKept);
    }
  }
  return false;
}

bool IsCode(const Section& section) { return section.Has(SHF_ALLOC); }

template <typename T>
void AppendTo(std::string* image, const T& value) {
  image->append(reinterpret_cast<const char*>(&value), sizeof(T));
}

void PadTo(std::string* image, std::size_t alignment) {
  image->resize((image->size() + alignment - 1) / alignment * alignment);
}

// An ELF file of these sections alone, as they are.
std::string ImageOf(const std::vector<const Section*>& sections) {
  std::string names(1, '\0');
  std::string image(sizeof(Elf64_Ehdr), '\0');
  std::vector<Elf64_Shdr> headers(1);
  for (const Section* const section : sections) {
    PadTo(&image, 16);
    Elf64_Shdr header = {};
    header.sh_name = static_cast<Elf64_Word>(names.size());
    names.append(section->name.data(), section->name.size());
    names.push_back('\0');
    header.sh_type = SHT_PROGBITS;
    header.sh_flags = section->flags & SHF_COMPRESSED;
    header.sh_offset = image.size();
    header.sh_size = section->bytes.size();
    header.sh_addralign = std::max<std::uint64_t>(section->alignment, 1);
    image.append(section->bytes.data(), section->bytes.size());
    headers.push_back(header);
  }
  Elf64_Shdr strings = {};
  strings.sh_name = static_cast<Elf64_Word>(names.size());
  names.append(".shstrtab", sizeof(".shstrtab"));
  strings.sh_type = SHT_STRTAB;
  strings.sh_offset = image.size();
  strings.sh_size = names.size();
  strings.sh_addralign = 1;
  headers.push_back(strings);
  image += names;
  PadTo(&image, 16);

  Elf64_Ehdr header = {};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  // Nothing is left to be relocated.
  header.e_type = ET_EXEC;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_shoff = image.size();
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = static_cast<Elf64_Half>(headers.size());
  header.e_shstrndx = static_cast<Elf64_Half>(headers.size() - 1);
  std::memcpy(image.data(), &header, sizeof(header));
  for (const Elf64_Shdr& entry : headers) AppendTo(&image, entry);
  return image;
}

absl::Status DamagedRelocation(const Section& section) {
  return absl::InvalidArgumentError(
      absl::StrCat("has damaged debug information: a relocation of ",
                   section.name, " leads out of its section or symbol table"));
}

template <typename T>
bool Write(char* bytes, std::size_t size, std::uint64_t offset,
           std::uint64_t value) {
  if (offset > size || sizeof(T) > size - offset) return false;
  const T field = static_cast<T>(value);
  std::memcpy(bytes + offset, &field, sizeof(T));
  return true;
}

// What a field that refers to this becomes.
std::uint64_t ValueOf(const ElfFile& object, const Symbol& symbol,
                      std::int64_t addend) {
  std::uint64_t value = symbol.value + static_cast<std::uint64_t>(addend);
  if (symbol.section == kCommon) value = symbol.index;
  const bool is_debug_section = symbol.section < object.sections().size() &&
                                symbol.section != kUndefined &&
                                !IsCode(object.sections()[symbol.section]);
  if (is_debug_section) return value;
  return (std::uint64_t{symbol.section} << 32) + (value & 0xffff'ffffu);
}

// GCC writes the offset of a thread-local variable as DW_OP_const8u, a
// relocated field of four bytes and four bytes of zero.
bool IsInEightBytes(const char* bytes, std::size_t size, std::uint64_t offset) {
  constexpr char kConst8u = 0x0e;
  if (offset < 1 || offset > size || size - offset < 8) return false;
  const char zero[4] = {};
  return bytes[offset - 1] == kConst8u &&
         std::memcmp(bytes + offset + 4, zero, 4) == 0;
}

absl::Status Relocate(const ElfFile& object, const Section& section,
                      char* bytes, std::size_t size) {
  for (const Relocation& relocation : section.relocations) {
    if (relocation.symbol >= object.symbols().size()) {
      return DamagedRelocation(section);
    }
    const std::uint64_t value =
        ValueOf(object, object.symbols()[relocation.symbol], relocation.addend);
    bool done = true;
    switch (relocation.type) {
      case R_X86_64_NONE:
        break;
      case R_X86_64_64:
      case R_X86_64_DTPOFF64:
        done = Write<std::uint64_t>(bytes, size, relocation.offset, value);
        break;
      case R_X86_64_32:
        done = Write<std::uint32_t>(bytes, size, relocation.offset, value);
        break;
      case R_X86_64_DTPOFF32:
        done = IsInEightBytes(bytes, size, relocation.offset)
                   ? Write<std::uint64_t>(bytes, size, relocation.offset, value)
                   : Write<std::uint32_t>(bytes, size, relocation.offset, 0);
        break;
      default:
        return absl::FailedPreconditionError(absl::StrCat(
            "has relocation ", relocation.type, " in ", section.name,
            ", which is not known; compile with GCC's DWARF 4 or 5"));
    }
    if (!done) return DamagedRelocation(section);
  }
  return absl::OkStatus();
}

absl::Status LibelfError() {
  return absl::InvalidArgumentError(
      absl::StrCat("has damaged debug information: ", elf_errmsg(-1)));
}

// The sections to read; in COMDAT groups are types and macros.
absl::StatusOr<std::vector<const Section*>> SectionsOf(const ElfFile& object) {
  std::vector<const Section*> kept;
  bool has_information = false;
  for (const Section& section : object.sections()) {
    if (absl::StartsWith(section.name, ".gnu.lto_") ||
        absl::StartsWith(section.name, ".gnu.debuglto_")) {
      return absl::FailedPreconditionError(
          "was compiled for link-time optimization; compile without -flto");
    }
    if (!IsKept(section.name)) continue;
    const bool is_information = absl::EndsWith(section.name, "debug_info");
    if (absl::EndsWith(section.name, "debug_types") ||
        (is_information && !section.group.empty())) {
      return absl::FailedPreconditionError(
          "has types in sections of their own; compile without "
          "-fdebug-types-section");
    }
    if (!section.group.empty()) continue;
    if (is_information && has_information) {
      return absl::FailedPreconditionError(absl::StrCat(
          "has several sections ", section.name, "; link none of it with -r"));
    }
    has_information |= is_information;
    kept.push_back(&section);
  }
  if (!has_information) {
    return absl::NotFoundError(
        "has no debug information; compile with -g, and keep it (strip only "
        "the program)");
  }
  return kept;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RelocatedSections>> RelocatedSections::Of(
    const ElfFile& object) {
  std::unique_ptr<RelocatedSections> result(new RelocatedSections);
  INSTAR_RETURN_IF_ERROR(result->Make(object));
  return result;
}

RelocatedSections::~RelocatedSections() { elf_end(elf_); }

absl::Status RelocatedSections::Make(const ElfFile& object) {
  INSTAR_ASSIGN_OR_RETURN(const std::vector<const Section*> sections,
                          SectionsOf(object));
  image_ = ImageOf(sections);
  elf_version(EV_CURRENT);
  elf_ = elf_memory(image_.data(), image_.size());
  if (elf_ == nullptr) return LibelfError();
  Elf_Scn* scn = nullptr;
  for (const Section* const section : sections) {
    scn = elf_nextscn(elf_, scn);
    if (scn == nullptr) return LibelfError();
    if (section->Has(SHF_COMPRESSED)) {
      if (elf_compress(scn, 0, 0) < 0) return LibelfError();
    } else if (absl::StartsWith(section->name, ".zdebug")) {
      if (elf_compress_gnu(scn, 0, 0) < 0) return LibelfError();
    }
    Elf_Data* const data = elf_getdata(scn, nullptr);
    if (data == nullptr) return LibelfError();
    // In image_, or in what libelf has unpacked: nobody else's.
    INSTAR_RETURN_IF_ERROR(Relocate(
        object, *section, static_cast<char*>(data->d_buf), data->d_size));
  }
  return absl::OkStatus();
}

}  // namespace differ
}  // namespace instar
