// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/object_writer.h"

#include <elf.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace instar {
namespace differ {
namespace {

// What is to be written, in the order of the section headers.
struct Output {
  std::string name;
  Elf64_Shdr header = {};
  std::string bytes;
};

std::uint32_t Intern(std::string& table, absl::string_view text) {
  if (text.empty()) return 0;
  const auto at = static_cast<std::uint32_t>(table.size());
  table.append(text.data(), text.size());
  table += '\0';
  return at;
}

Output Table(std::string name, std::uint32_t type, std::string bytes,
             std::uint64_t alignment, std::uint64_t entry_size) {
  Output result;
  result.name = std::move(name);
  result.header.sh_type = type;
  result.header.sh_size = bytes.size();
  result.header.sh_addralign = alignment;
  result.header.sh_entsize = entry_size;
  result.bytes = std::move(bytes);
  return result;
}

}  // namespace

ObjectWriter::ObjectWriter(const std::string& file) {
  NewSymbol symbol = {};
  symbol.name = file;
  symbol.binding = STB_LOCAL;
  symbol.type = STT_FILE;
  symbol.is_absolute = true;
  AddSymbol(std::move(symbol));
  // Its code needs no stack that can be executed.
  NewSection stack = {};
  stack.name = ".note.GNU-stack";
  stack.type = SHT_PROGBITS;
  stack.alignment = 1;
  AddSection(std::move(stack));
}

ObjectWriter::SectionId ObjectWriter::AddSection(NewSection section) {
  const SectionId id = sections_.size();
  sections_.push_back({std::move(section), 0, {}});
  NewSymbol symbol = {};
  symbol.binding = STB_LOCAL;
  symbol.type = STT_SECTION;
  symbol.section = id;
  sections_[id].symbol = AddSymbol(std::move(symbol));
  return id;
}

ObjectWriter::SymbolId ObjectWriter::AddSymbol(NewSymbol symbol) {
  symbols_.push_back(std::move(symbol));
  return symbols_.size() - 1;
}

ObjectWriter::SymbolId ObjectWriter::SectionSymbol(SectionId section) const {
  return sections_[section].symbol;
}

void ObjectWriter::AddRelocation(SectionId section, NewRelocation relocation) {
  sections_[section].relocations.push_back(relocation);
}

void ObjectWriter::DropRelocation(SectionId section, std::uint64_t offset) {
  std::vector<NewRelocation>& relocations = sections_[section].relocations;
  relocations.erase(std::remove_if(relocations.begin(), relocations.end(),
                                   [&](const NewRelocation& relocation) {
                                     return relocation.offset == offset;
                                   }),
                    relocations.end());
}

std::string& ObjectWriter::BytesOf(SectionId section) {
  return sections_[section].section.bytes;
}

absl::Status ObjectWriter::Write(const std::string& path) const {
  // Local symbols come first.
  std::vector<SymbolId> order(symbols_.size());
  for (SymbolId i = 0; i < order.size(); ++i) order[i] = i;
  const auto globals = std::stable_partition(
      order.begin(), order.end(),
      [&](SymbolId id) { return symbols_[id].binding == STB_LOCAL; });
  std::vector<std::uint32_t> number_of(symbols_.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    number_of[order[i]] = static_cast<std::uint32_t>(i + 1);
  }

  std::vector<Output> outputs(1);  // the null section
  for (const KeptSection& kept : sections_) {
    Output output =
        Table(kept.section.name, kept.section.type, kept.section.bytes,
              kept.section.alignment, kept.section.entry_size);
    output.header.sh_flags = kept.section.flags;
    if (kept.section.type == SHT_NOBITS) {
      output.bytes.clear();
      output.header.sh_size = kept.section.size_without_bytes;
    }
    outputs.push_back(std::move(output));
  }
  std::size_t tables = 0;
  for (const KeptSection& kept : sections_) tables += !kept.relocations.empty();
  const auto symbols_index =
      static_cast<std::uint32_t>(outputs.size() + tables);
  for (SectionId id = 0; id < sections_.size(); ++id) {
    const KeptSection& kept = sections_[id];
    if (kept.relocations.empty()) continue;
    std::vector<NewRelocation> relocations = kept.relocations;
    std::stable_sort(relocations.begin(), relocations.end(),
                     [](const NewRelocation& a, const NewRelocation& b) {
                       return a.offset < b.offset;
                     });
    std::string bytes;
    for (const NewRelocation& relocation : relocations) {
      Append(bytes, Elf64_Rela{relocation.offset,
                               ELF64_R_INFO(
                                   std::uint64_t{number_of[relocation.symbol]},
                                   std::uint64_t{relocation.type}),
                               relocation.addend});
    }
    Output output = Table(absl::StrCat(".rela", kept.section.name), SHT_RELA,
                          std::move(bytes), 8, sizeof(Elf64_Rela));
    output.header.sh_flags = SHF_INFO_LINK;
    output.header.sh_link = symbols_index;
    output.header.sh_info = static_cast<std::uint32_t>(id + 1);
    outputs.push_back(std::move(output));
  }

  std::string strings(1, '\0');
  std::string table(sizeof(Elf64_Sym), '\0');
  std::string extended(4, '\0');  // for more sections than sixteen bits count
  bool needs_extended = false;
  for (const SymbolId id : order) {
    const NewSymbol& symbol = symbols_[id];
    Elf64_Sym raw = {};
    raw.st_name = Intern(strings, symbol.name);
    raw.st_info = ELF64_ST_INFO(symbol.binding, symbol.type);
    raw.st_other = symbol.visibility;
    raw.st_value = symbol.value;
    raw.st_size = symbol.size;
    std::uint32_t index = 0;
    if (symbol.section) {
      index = static_cast<std::uint32_t>(*symbol.section + 1);
    }
    raw.st_shndx = static_cast<std::uint16_t>(index);
    std::uint32_t extended_index = 0;
    if (symbol.is_absolute) {
      raw.st_shndx = SHN_ABS;
    } else if (index >= SHN_LORESERVE) {
      raw.st_shndx = SHN_XINDEX;
      extended_index = index;
      needs_extended = true;
    }
    Append(extended, extended_index);
    Append(table, raw);
  }
  Output symbols =
      Table(".symtab", SHT_SYMTAB, std::move(table), 8, sizeof(Elf64_Sym));
  symbols.header.sh_link = symbols_index + 1;
  symbols.header.sh_info =
      static_cast<std::uint32_t>(globals - order.begin() + 1);
  outputs.push_back(std::move(symbols));
  outputs.push_back(Table(".strtab", SHT_STRTAB, std::move(strings), 1, 0));
  if (needs_extended) {
    Output output =
        Table(".symtab_shndx", SHT_SYMTAB_SHNDX, std::move(extended), 4, 4);
    output.header.sh_link = symbols_index;
    outputs.push_back(std::move(output));
  }
  outputs.push_back(Table(".shstrtab", SHT_STRTAB, "", 1, 0));
  std::string names(1, '\0');
  for (Output& output : outputs) {
    output.header.sh_name = Intern(names, output.name);
  }
  outputs.back().header.sh_size = names.size();
  outputs.back().bytes = std::move(names);

  std::string file(sizeof(Elf64_Ehdr), '\0');
  for (Output& output : outputs) {
    const std::uint64_t alignment =
        std::max<std::uint64_t>(output.header.sh_addralign, 1);
    file.append((alignment - file.size() % alignment) % alignment, '\0');
    output.header.sh_offset =
        output.header.sh_type == SHT_NULL ? 0 : file.size();
    file += output.bytes;
  }
  file.append((8 - file.size() % 8) % 8, '\0');
  Elf64_Ehdr header = {};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_REL;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_shoff = file.size();
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_shentsize = sizeof(Elf64_Shdr);
  const std::size_t count = outputs.size();
  if (count < SHN_LORESERVE) {
    header.e_shnum = static_cast<std::uint16_t>(count);
    header.e_shstrndx = static_cast<std::uint16_t>(count - 1);
  } else {
    header.e_shstrndx = SHN_XINDEX;
    outputs[0].header.sh_size = count;
    outputs[0].header.sh_link = static_cast<std::uint32_t>(count - 1);
  }
  std::memcpy(&file[0], &header, sizeof(header));
  for (const Output& output : outputs) Append(file, output.header);

  std::FILE* out = std::fopen(path.c_str(), "we");
  if (out == nullptr) {
    return absl::ErrnoToStatus(errno, absl::StrCat(path, " cannot be written"));
  }
  const bool is_written =
      std::fwrite(file.data(), 1, file.size(), out) == file.size();
  const int error = errno;
  if (std::fclose(out) != 0 || !is_written) {
    return absl::ErrnoToStatus(is_written ? errno : error,
                               absl::StrCat(path, " cannot be written"));
  }
  return absl::OkStatus();
}

}  // namespace differ
}  // namespace instar
