// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/elf_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tools/differ/files/archive.h"

namespace instar {
namespace differ {
namespace {

// Part of `bytes`; nothing if it does not lie in them.
std::optional<absl::string_view> Part(absl::string_view bytes,
                                      std::uint64_t offset,
                                      std::uint64_t size) {
  if (offset > bytes.size() || size > bytes.size() - offset) {
    return std::nullopt;
  }
  return bytes.substr(offset, size);
}

}  // namespace

absl::string_view StringAt(absl::string_view table, std::uint64_t offset) {
  if (offset >= table.size()) return {};
  const std::size_t end = table.find('\0', offset);
  if (end == absl::string_view::npos) return {};
  return table.substr(offset, end - offset);
}

absl::StatusOr<ElfFile> ElfFile::Read(const std::string& path,
                                      const std::string& called) {
  const std::optional<MemberPath> member = SplitMemberPath(path);
  ElfFile result;
  result.path_ = called.empty() ? path : called;
  result.copy_path_ = path;
  INSTAR_ASSIGN_OR_RETURN(result.file_,
                          MappedFile::Read(member ? member->archive : path));
  result.bytes_ = result.file_->bytes();
  if (member) INSTAR_RETURN_IF_ERROR(result.GoToMember(member->member));
  INSTAR_RETURN_IF_ERROR(result.ReadHeaders());
  INSTAR_RETURN_IF_ERROR(result.ReadSections());
  return result;
}

absl::Status ElfFile::GoToMember(const std::string& name) {
  const absl::StatusOr<std::vector<ArchiveMember>> members = MembersOf(bytes_);
  if (!members.ok()) return Damaged(members.status().message());
  for (const ArchiveMember& member : *members) {
    if (member.name == name) {
      bytes_ = member.bytes;
      return absl::OkStatus();
    }
  }
  return absl::NotFoundError(absl::StrCat(path_, " is not there"));
}

absl::Status ElfFile::Damaged(absl::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat(path_, " ", what));
}

absl::Status ElfFile::ReadHeaders() {
  const auto header = ReadAt<Elf64_Ehdr>(bytes_, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) {
    return Damaged("is no ELF file");
  }
  if (header->e_ident[EI_CLASS] != ELFCLASS64 ||
      header->e_ident[EI_DATA] != ELFDATA2LSB ||
      header->e_machine != EM_X86_64) {
    return Damaged("is not of x86-64");
  }
  header_ = *header;
  for (int i = 0; i < header_.e_phnum; ++i) {
    const auto segment = ReadAt<Elf64_Phdr>(
        bytes_,
        header_.e_phoff + static_cast<std::uint64_t>(i) * sizeof(Elf64_Phdr));
    if (!segment) return Damaged("is truncated");
    segments_.push_back(*segment);
  }
  return absl::OkStatus();
}

absl::Status ElfFile::ReadSections() {
  if (header_.e_shoff == 0) return absl::OkStatus();
  const auto first = ReadAt<Elf64_Shdr>(bytes_, header_.e_shoff);
  if (!first) return Damaged("is truncated");
  // Numbers that do not fit stand in the first header.
  const std::uint64_t count =
      header_.e_shnum != 0 ? header_.e_shnum : first->sh_size;
  const std::uint32_t names_index =
      header_.e_shstrndx != SHN_XINDEX ? header_.e_shstrndx : first->sh_link;
  if (count > bytes_.size() / sizeof(Elf64_Shdr)) {
    return Damaged("is truncated");
  }
  std::vector<Elf64_Shdr> headers;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto header =
        ReadAt<Elf64_Shdr>(bytes_, header_.e_shoff + i * sizeof(Elf64_Shdr));
    if (!header) return Damaged("is truncated");
    headers.push_back(*header);
  }
  absl::string_view names;
  if (names_index < count) {
    const auto part = Part(bytes_, headers[names_index].sh_offset,
                           headers[names_index].sh_size);
    if (part) names = *part;
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    const Elf64_Shdr& header = headers[i];
    Section section = {};
    section.index = static_cast<std::uint32_t>(i);
    section.name = StringAt(names, header.sh_name);
    section.type = header.sh_type;
    section.flags = header.sh_flags;
    section.address = header.sh_addr;
    section.size = header.sh_size;
    section.alignment = header.sh_addralign;
    section.entry_size = header.sh_entsize;
    section.link = header.sh_link;
    section.info = header.sh_info;
    if (header.sh_type != SHT_NOBITS && header.sh_type != SHT_NULL) {
      const auto part = Part(bytes_, header.sh_offset, header.sh_size);
      if (!part) return Damaged("is truncated");
      section.bytes = *part;
    }
    sections_.push_back(std::move(section));
  }
  for (const Section& section : sections_) {
    if (section.type == SHT_SYMTAB) {
      INSTAR_ASSIGN_OR_RETURN(symbols_, ReadSymbols(section));
    } else if (section.type == SHT_DYNSYM) {
      INSTAR_ASSIGN_OR_RETURN(dynamic_symbols_, ReadSymbols(section));
    }
  }
  if (!is_object()) return absl::OkStatus();
  for (const Section& section : sections_) {
    if (section.type == SHT_RELA) {
      INSTAR_RETURN_IF_ERROR(ReadRelocations(section));
    } else if (section.type == SHT_REL) {
      return Damaged("has relocations without addends, which x86-64 has not");
    } else if (section.type == SHT_GROUP) {
      INSTAR_RETURN_IF_ERROR(ReadGroup(section));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Symbol>> ElfFile::ReadSymbols(
    const Section& table) const {
  if (table.link >= sections_.size())
    return Damaged("has a damaged symbol table");
  const absl::string_view strings = sections_[table.link].bytes;
  absl::string_view extended;
  for (const Section& section : sections_) {
    if (section.type == SHT_SYMTAB_SHNDX && section.link == table.index) {
      extended = section.bytes;
    }
  }
  std::vector<Symbol> result;
  result.reserve(table.bytes.size() / sizeof(Elf64_Sym));
  for (std::uint64_t i = 0; i < table.bytes.size() / sizeof(Elf64_Sym); ++i) {
    const Elf64_Sym raw =
        *ReadAt<Elf64_Sym>(table.bytes, i * sizeof(Elf64_Sym));
    Symbol symbol = {};
    symbol.name = StringAt(strings, raw.st_name);
    symbol.binding = ELF64_ST_BIND(raw.st_info);
    symbol.type = ELF64_ST_TYPE(raw.st_info);
    symbol.visibility = ELF64_ST_VISIBILITY(raw.st_other);
    symbol.value = raw.st_value;
    symbol.size = raw.st_size;
    symbol.index = static_cast<std::uint32_t>(i);
    symbol.section = raw.st_shndx;
    if (raw.st_shndx == SHN_XINDEX) {
      const auto index = ReadAt<std::uint32_t>(extended, i * 4);
      if (!index) return Damaged("has a damaged symbol table");
      symbol.section = *index;
    } else if (raw.st_shndx == SHN_ABS) {
      symbol.section = kAbsolute;
    } else if (raw.st_shndx == SHN_COMMON) {
      symbol.section = kCommon;
    }
    if (symbol.section >= sections_.size() && symbol.section != kAbsolute &&
        symbol.section != kCommon) {
      return Damaged("has a damaged symbol table");
    }
    result.push_back(symbol);
  }
  return result;
}

absl::Status ElfFile::ReadRelocations(const Section& table) {
  if (table.info == 0) return absl::OkStatus();
  if (table.info >= sections_.size()) {
    return Damaged("has relocations of no section");
  }
  const Section& section = sections_[table.info];
  // Offsets of a compressed section are those of what it holds (-gz).
  const bool is_packed =
      section.Has(SHF_COMPRESSED) || section.name.substr(0, 7) == ".zdebug";
  std::vector<Relocation>& relocations = sections_[table.info].relocations;
  for (std::uint64_t at = 0; at + sizeof(Elf64_Rela) <= table.bytes.size();
       at += sizeof(Elf64_Rela)) {
    const Elf64_Rela raw = *ReadAt<Elf64_Rela>(table.bytes, at);
    const Relocation relocation = {
        raw.r_offset, static_cast<std::uint32_t>(ELF64_R_TYPE(raw.r_info)),
        static_cast<std::uint32_t>(ELF64_R_SYM(raw.r_info)), raw.r_addend};
    if (relocation.symbol >= symbols_.size() ||
        (!is_packed && relocation.offset >= section.size)) {
      return Damaged("has a damaged relocation");
    }
    relocations.push_back(relocation);
  }
  std::stable_sort(relocations.begin(), relocations.end(),
                   [](const Relocation& a, const Relocation& b) {
                     return a.offset < b.offset;
                   });
  return absl::OkStatus();
}

absl::Status ElfFile::ReadGroup(const Section& group) {
  if (group.info >= symbols_.size()) return Damaged("has a damaged group");
  const Symbol& signature = symbols_[group.info];
  // A signature without a name is a section's.
  const absl::string_view name =
      signature.name.empty() && signature.section < sections_.size()
          ? sections_[signature.section].name
          : signature.name;
  for (std::uint64_t at = 4; at + 4 <= group.bytes.size(); at += 4) {
    const std::uint32_t member = *ReadAt<std::uint32_t>(group.bytes, at);
    if (member >= sections_.size()) return Damaged("has a damaged group");
    sections_[member].group = name;
  }
  return absl::OkStatus();
}

const Section* ElfFile::FindSection(absl::string_view name) const {
  for (const Section& section : sections_) {
    if (section.name == name) return &section;
  }
  return nullptr;
}

std::string ElfFile::BuildId() const {
  std::string result;
  const Section* note = FindSection(".note.gnu.build-id");
  if (note == nullptr) return result;
  const auto header = ReadAt<Elf64_Nhdr>(note->bytes, 0);
  if (!header || header->n_namesz != 4) return result;
  const auto id = Part(note->bytes, sizeof(Elf64_Nhdr) + 4, header->n_descsz);
  if (!id) return result;
  for (const char c : *id) {
    absl::StrAppend(&result,
                    absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
  }
  return result;
}

std::vector<Elf64_Dyn> ElfFile::DynamicEntries() const {
  std::vector<Elf64_Dyn> result;
  for (const Section& section : sections_) {
    if (section.type != SHT_DYNAMIC) continue;
    for (std::uint64_t at = 0;; at += sizeof(Elf64_Dyn)) {
      const auto entry = ReadAt<Elf64_Dyn>(section.bytes, at);
      if (!entry || entry->d_tag == DT_NULL) break;
      result.push_back(*entry);
    }
  }
  return result;
}

absl::string_view ElfFile::DynamicStrings() const {
  for (const Section& section : sections_) {
    if (section.type == SHT_DYNAMIC && section.link < sections_.size()) {
      return sections_[section.link].bytes;
    }
  }
  return {};
}

std::optional<absl::string_view> ElfFile::BytesAt(std::uint64_t address,
                                                  std::uint64_t size) const {
  for (const Elf64_Phdr& segment : segments_) {
    if (segment.p_type != PT_LOAD || address < segment.p_vaddr) continue;
    const std::uint64_t offset = address - segment.p_vaddr;
    if (offset > segment.p_filesz || size > segment.p_filesz - offset) continue;
    if (segment.p_offset > bytes_.size()) return std::nullopt;
    return Part(bytes_, segment.p_offset + offset, size);
  }
  return std::nullopt;
}

}  // namespace differ
}  // namespace instar
