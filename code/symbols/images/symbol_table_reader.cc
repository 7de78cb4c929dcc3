// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/images/symbol_table_reader.h"

#include <gelf.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "code/symbols/images/debug_file.h"
#include "code/symbols/images/eh_frame_header.h"
#include "code/symbols/images/elf_notes.h"

namespace instar {
namespace code_internal {
namespace {

SymbolBinding BindingOf(unsigned char info) {
  switch (GELF_ST_BIND(info)) {
    case STB_LOCAL:
      return SymbolBinding::kLocal;
    case STB_WEAK:
      return SymbolBinding::kWeak;
    default:
      return SymbolBinding::kGlobal;
  }
}

bool IsFunction(const Elf64_Sym& symbol) {
  const int type = GELF_ST_TYPE(symbol.st_info);
  return type == STT_FUNC || type == STT_GNU_IFUNC;
}

// The number of dynamic symbols, from the last chain of a DT_GNU_HASH table:
// number of buckets, number of the first symbol in it, number of words of 8
// bytes that follow, something; those words; the first symbol of each bucket;
// a word for each symbol, which is odd at the end of a chain.
size_t CountSymbols(absl::string_view hash) {
  const auto word = [hash](size_t i) {
    uint32_t value = 0;
    if (4 * i + 4 <= hash.size()) {
      std::memcpy(&value, hash.data() + 4 * i, 4);
    }
    return value;
  };
  const size_t buckets = word(0);
  const size_t first = word(1);
  const size_t at = 4 + 2 * size_t{word(2)};
  size_t last = 0;
  for (size_t i = 0; i < buckets && 4 * (at + i) < hash.size(); ++i) {
    last = std::max<size_t>(last, word(at + i));
  }
  if (last < first) return first;
  for (size_t chain = at + buckets - first; 4 * (chain + last) < hash.size();
       ++last) {
    if ((word(chain + last) & 1) != 0) return last + 1;
  }
  return 0;
}

}  // namespace

absl::Status SymbolTable::Reader::Read() {
  if (memory_ == nullptr) {
    raw_ = elf_rawfile(elf_, &raw_size_);
    if (elf_kind(elf_) != ELF_K_ELF || gelf_getclass(elf_) != ELFCLASS64 ||
        raw_ == nullptr) {
      return absl::FailedPreconditionError(
          absl::StrCat(table_.name_, " is not a 64-bit ELF file"));
    }
  }
  ReadProgramHeaders();
  if (memory_ == nullptr) {
    ReadSections();
  } else {
    ReadDynamicSegment();
  }
  ReadAllSymbols();
  return absl::OkStatus();
}

absl::string_view SymbolTable::Reader::Loaded(uintptr_t address) const {
  for (const Elf64_Phdr& header : loads_) {
    if (address < header.p_vaddr ||
        address - header.p_vaddr >= header.p_filesz) {
      continue;
    }
    const size_t skip = address - header.p_vaddr;
    if (memory_ != nullptr) {
      if ((header.p_flags & PF_R) == 0) return {};
      return {reinterpret_cast<const char*>(memory_->load_base + address),
              header.p_filesz - skip};
    }
    const size_t offset = header.p_offset + skip;
    if (offset >= raw_size_) return {};
    return {raw_ + offset,
            std::min<size_t>(header.p_filesz - skip, raw_size_ - offset)};
  }
  return {};
}

absl::Span<const Elf64_Phdr> SymbolTable::Reader::ProgramHeaders() const {
  if (memory_ != nullptr) return memory_->program_headers;
  size_t count = 0;
  elf_getphdrnum(elf_, &count);
  return {elf64_getphdr(elf_), count};
}

void SymbolTable::Reader::ReadProgramHeaders() {
  Elf64_Phdr unwind{};
  absl::string_view build_id;
  const absl::Span<const Elf64_Phdr> headers = ProgramHeaders();
  if (headers.data() == nullptr) return;
  for (const Elf64_Phdr& header : headers) {
    if (header.p_type == PT_LOAD) loads_.push_back(header);
  }
  for (const Elf64_Phdr& header : headers) {
    if (header.p_type == PT_GNU_EH_FRAME) unwind = header;
    if (header.p_type == PT_DYNAMIC) dynamic_ = header;
    if (header.p_type != PT_NOTE) continue;
    const absl::string_view notes =
        Loaded(header.p_vaddr).substr(0, header.p_filesz);
    if (build_id.empty()) build_id = BuildIdIn(notes);
    table_.inlines_external_ |= NotesInlining(notes);
  }
  table_.build_id_ = std::string(build_id);
  const absl::string_view unwind_bytes =
      Loaded(unwind.p_vaddr).substr(0, unwind.p_memsz);
  table_.fingerprint_ = Fingerprint(headers, unwind_bytes, build_id);
  unwind_entries_ =
      ReadEhFrameHeader(unwind.p_vaddr, unwind_bytes,
                        [this](uintptr_t address) { return Loaded(address); });
}

void SymbolTable::Reader::ReadSections() {
  size_t names = 0;
  elf_getshdrstrndx(elf_, &names);
  for (Elf_Scn* section = nullptr;
       (section = elf_nextscn(elf_, section)) != nullptr;) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr) continue;
    if (header.sh_type == SHT_DYNSYM) ReadSection(elf_, section, true);
    if (header.sh_type == SHT_SYMTAB) all_ = section;
    const char* name = elf_strptr(elf_, names, header.sh_name);
    if (name != nullptr && absl::StartsWith(name, ".plt")) {
      linkage_stubs_.push_back(
          {header.sh_addr, header.sh_addr + header.sh_size});
    }
  }
}

void SymbolTable::Reader::ReadDynamicSegment() {
  const absl::string_view dynamic =
      Loaded(dynamic_.p_vaddr).substr(0, dynamic_.p_filesz);
  // glibc has added the load base to addresses where it could.
  const auto bytes_at = [this](uintptr_t address) {
    if (address >= memory_->load_base) address -= memory_->load_base;
    return Loaded(address);
  };
  absl::string_view symbols;
  absl::string_view strings;
  absl::string_view hash;
  size_t string_size = 0;
  for (size_t i = 0; i + sizeof(Elf64_Dyn) <= dynamic.size();
       i += sizeof(Elf64_Dyn)) {
    Elf64_Dyn entry;
    std::memcpy(&entry, dynamic.data() + i, sizeof(entry));
    if (entry.d_tag == DT_NULL) break;
    if (entry.d_tag == DT_SYMTAB) symbols = bytes_at(entry.d_un.d_ptr);
    if (entry.d_tag == DT_STRTAB) strings = bytes_at(entry.d_un.d_ptr);
    if (entry.d_tag == DT_STRSZ) string_size = entry.d_un.d_val;
    if (entry.d_tag == DT_GNU_HASH) hash = bytes_at(entry.d_un.d_ptr);
  }
  const size_t count =
      std::min(CountSymbols(hash), symbols.size() / sizeof(Elf64_Sym));
  ReadSymbols({reinterpret_cast<const Elf64_Sym*>(symbols.data()), count},
              strings.substr(0, string_size), /*exported=*/true);
}

void SymbolTable::Reader::ReadAllSymbols() {
  Elf* holder = elf_;
  if (all_ == nullptr && debug_elf_ != nullptr) {
    holder = debug_elf_;
    while ((all_ = elf_nextscn(holder, all_)) != nullptr) {
      GElf_Shdr header;
      if (gelf_getshdr(all_, &header) != nullptr &&
          header.sh_type == SHT_SYMTAB) {
        break;
      }
    }
  }
  for (auto* names : {&table_.references_, &table_.definitions_}) {
    std::sort(names->begin(), names->end(), std::less<absl::string_view>());
  }
  table_.has_local_symbols_ = all_ != nullptr;
  if (all_ != nullptr) ReadSection(holder, all_, /*exported=*/false);
}

void SymbolTable::Reader::ReadSection(Elf* elf, Elf_Scn* section,
                                      bool exported) {
  GElf_Shdr header;
  Elf_Data* data = elf_getdata(section, nullptr);
  if (data == nullptr || data->d_buf == nullptr ||
      gelf_getshdr(section, &header) == nullptr ||
      header.sh_entsize != sizeof(Elf64_Sym)) {
    return;
  }
  Elf_Data* strings = elf_getdata(elf_getscn(elf, header.sh_link), nullptr);
  if (strings == nullptr || strings->d_buf == nullptr) return;
  ReadSymbols({static_cast<const Elf64_Sym*>(data->d_buf),
               data->d_size / sizeof(Elf64_Sym)},
              {static_cast<const char*>(strings->d_buf), strings->d_size},
              exported);
}

void SymbolTable::Reader::ReadSymbols(absl::Span<const Elf64_Sym> symbols,
                                      absl::string_view strings,
                                      bool exported) {
  // The names outlive the file, which may be overwritten at any time.
  table_.string_tables_.emplace_back(strings);
  std::string& names = table_.string_tables_.back();

  uint32_t source = 0;
  if (exported) exported_.reserve(symbols.size());
  // Vectors that grow take thrice what they hold.
  symbols_.reserve(symbols_.size() +
                   static_cast<size_t>(std::count_if(
                       symbols.begin(), symbols.end(), &IsFunction)));
  for (const Elf64_Sym& symbol : symbols) {
    const int type = GELF_ST_TYPE(symbol.st_info);
    if (type == STT_FILE) ++source;
    if (symbol.st_name >= names.size()) continue;
    if (symbol.st_shndx == SHN_UNDEF) {
      if (exported) table_.references_.push_back(&names[symbol.st_name]);
      continue;
    }
    if (symbol.st_shndx == SHN_ABS) continue;
    char* name = &names[symbol.st_name];
    // .symtab may spell a version: memcpy@@GLIBC_2.14.
    if (char* version = std::strchr(name, '@')) *version = '\0';
    if (*name == '\0') continue;
    const SymbolBinding binding = BindingOf(symbol.st_info);
    switch (type) {
      case STT_FUNC:
      case STT_GNU_IFUNC:
        if (exported) {
          exported_.emplace(name, symbol.st_value);
          table_.definitions_.push_back(name);
        }
        symbols_.push_back({name, symbol.st_value, symbol.st_size,
                            binding == SymbolBinding::kLocal ? source : 0,
                            binding, type == STT_GNU_IFUNC});
        break;
      case STT_OBJECT:
      case STT_TLS: {
        if (exported) {
          exported_.emplace(name, symbol.st_value);
        } else if (exported_.contains({name, symbol.st_value})) {
          break;  // has been added
        }
        table_.variables_.push_back({name, symbol.st_value, symbol.st_size,
                                     binding, exported, type == STT_TLS});
        break;
      }
      default:
        break;
    }
  }
}

}  // namespace code_internal
}  // namespace instar
