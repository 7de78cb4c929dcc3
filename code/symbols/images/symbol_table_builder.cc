// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How a SymbolTable is made: symbols are sorted into functions, what was split
// off is joined to its function, and what unwind information alone knows is
// added.

#include <elf.h>
#include <gelf.h>
#include <libelf.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "code/symbols/images/code_range.h"
#include "code/symbols/images/debug_file.h"
#include "code/symbols/images/eh_frame_header.h"
#include "code/symbols/images/symbol_table.h"

namespace instar {
namespace code_internal {
namespace {

// The start of what the compiler appended to the name of a function that it
// split, or npos: `f.part.0.cold` gives 1. `.lto_priv` only renames.
size_t FindPartSuffix(absl::string_view name) {
  static constexpr absl::string_view kSuffixes[] = {".cold", ".part.",
                                                    ".constprop.", ".isra."};
  for (size_t dot = name.find('.'); dot != absl::string_view::npos;
       dot = name.find('.', dot + 1)) {
    for (absl::string_view suffix : kSuffixes) {
      if (dot > 0 && absl::StartsWith(name.substr(dot), suffix)) return dot;
    }
  }
  return absl::string_view::npos;
}

struct Symbol {
  const char* name;
  uintptr_t value;
  size_t size;
  uint32_t source;  // number of the STT_FILE symbol before it; 0 if not local
  SymbolBinding binding;
  bool is_indirect;
};

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

// The main name of a function is the one that most people can see.
int Rank(const Symbol& symbol) {
  const int rank = symbol.binding == SymbolBinding::kGlobal ? 0
                   : symbol.binding == SymbolBinding::kWeak ? 1
                                                            : 2;
  return symbol.is_indirect ? rank + 3 : rank;
}

bool IsPatchable(absl::string_view code) {
  return absl::StartsWith(code, "\x90\x90\x90\x90\x90") ||
         absl::StartsWith(code, absl::string_view("\x0f\x1f\x44\0\0", 5));
}

}  // namespace

class SymbolTable::Builder {
 public:
  // Of a file, or of what lies in memory.
  Builder(SymbolTable* table, Elf* elf, const ImageInMemory* memory,
          Elf* debug_elf)
      : table_(*table), elf_(elf), memory_(memory), debug_elf_(debug_elf) {}

  absl::Status Build() {
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
    AddFunctions();
    AddUnwindEntries();
    Finish();
    return absl::OkStatus();
  }

 private:
  // A function while it is being collected. Its names are in the table already;
  // there may be very many, so that nothing is allocated for each.
  struct Draft {
    FunctionRecord record;
    uint32_t source = 0;
    uint32_t first_piece = kNone;  // of pieces_
  };
  // What was split off a function, besides the stretch from its entry on.
  struct Piece {
    CodeRange range;
    const char* clone;  // its name if callers reach it; null otherwise
    uint32_t next;
  };

  static constexpr uint32_t kNone = ~0u;

  static constexpr uint32_t kAnySource = ~0u;
  static constexpr size_t kSeveral = ~size_t{0};

  // The bytes of the file that are loaded at `address`.
  absl::string_view Loaded(uintptr_t address) const {
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

  absl::Span<const Elf64_Phdr> ProgramHeaders() const {
    if (memory_ != nullptr) return memory_->program_headers;
    size_t count = 0;
    elf_getphdrnum(elf_, &count);
    return {elf64_getphdr(elf_), count};
  }

  void ReadProgramHeaders() {
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
      if (header.p_type == PT_NOTE && build_id.empty()) {
        build_id = BuildIdIn(Loaded(header.p_vaddr).substr(0, header.p_filesz));
      }
    }
    table_.build_id_ = std::string(build_id);
    const absl::string_view unwind_bytes =
        Loaded(unwind.p_vaddr).substr(0, unwind.p_memsz);
    table_.fingerprint_ =
        Fingerprint({reinterpret_cast<const char*>(headers.data()),
                     headers.size() * sizeof(Elf64_Phdr)},
                    unwind_bytes, build_id);
    unwind_entries_ = ReadEhFrameHeader(
        unwind.p_vaddr, unwind_bytes,
        [this](uintptr_t address) { return Loaded(address); });
  }

  void ReadSections() {
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

  // What the dynamic linker reads: the symbols, of which there are as many as
  // the hash table knows.
  void ReadDynamicSegment() {
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

  // The number of dynamic symbols, from the last chain of a DT_GNU_HASH table:
  // number of buckets, number of the first symbol in it, number of words of 8
  // bytes that follow, something; those words; the first symbol of each bucket;
  // a word for each symbol, which is odd at the end of a chain.
  static size_t CountSymbols(absl::string_view hash) {
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

  void ReadAllSymbols() {
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

  void ReadSection(Elf* elf, Elf_Scn* section, bool exported) {
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

  void ReadSymbols(absl::Span<const Elf64_Sym> symbols,
                   absl::string_view strings, bool exported) {
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

  void AddFunctions() {
    std::stable_sort(symbols_.begin(), symbols_.end(),
                     [](const Symbol& a, const Symbol& b) {
                       if (a.value != b.value) return a.value < b.value;
                       return Rank(a) < Rank(b);
                     });
    std::vector<const Symbol*> parts;
    drafts_.reserve(symbols_.size());
    table_.names_.reserve(symbols_.size());
    for (size_t i = 0; i < symbols_.size();) {
      const Symbol& first = symbols_[i];
      if (FindPartSuffix(first.name) != absl::string_view::npos) {
        parts.push_back(&first);
        while (i < symbols_.size() && symbols_[i].value == first.value) ++i;
        continue;
      }
      i = AddFunction(i);
    }
    if (parts.empty()) return;
    for (size_t i = 0; i < drafts_.size(); ++i) {
      for (const char* name : table_.names(drafts_[i].record)) {
        by_name_.emplace(std::make_pair(drafts_[i].source, name), i);
        const auto only = by_name_.emplace(std::make_pair(kAnySource, name), i);
        if (!only.second && only.first->second != i) {
          only.first->second = kSeveral;
        }
      }
    }
    for (const Symbol* part : parts) AddPart(*part);
  }

  // Makes one function of the symbols at the address of symbols_[i]; returns
  // the index of the first one that is not part of it.
  size_t AddFunction(size_t i) {
    const Symbol& first = symbols_[i];
    Draft draft;
    draft.record.first_name = static_cast<uint32_t>(table_.names_.size());
    draft.record.entry = first.value;
    draft.record.binding = first.binding;
    draft.record.is_indirect = first.is_indirect;
    draft.source = first.source;
    // The resolver of an indirect function stands at the same address, and is
    // another function.
    for (; i < symbols_.size() && symbols_[i].value == first.value &&
           symbols_[i].is_indirect == first.is_indirect;
         ++i) {
      draft.record.size = std::max(draft.record.size, symbols_[i].size);
      if (exported_.contains({symbols_[i].name, first.value})) {
        draft.record.is_exported = true;
      }
      const auto names = table_.names(draft.record);
      if (std::none_of(names.begin(), names.end(), [&](const char* name) {
            return std::strcmp(name, symbols_[i].name) == 0;
          })) {
        table_.names_.push_back(symbols_[i].name);
        ++draft.record.name_count;
      }
    }
    drafts_.push_back(draft);
    return i;
  }

  // Code split off a function belongs to the function of that name in the same
  // source file, or to the one that all source files see, or to the only one.
  void AddPart(const Symbol& part) {
    const size_t suffix = FindPartSuffix(part.name);
    const absl::string_view base(part.name, suffix);
    auto parent = by_name_.find({part.source, base});
    if (parent == by_name_.end()) parent = by_name_.find({0, base});
    // The linker makes hidden functions local, and loses their source file.
    if (parent == by_name_.end()) parent = by_name_.find({kAnySource, base});
    if (parent == by_name_.end() || parent->second == kSeveral) {
      Draft draft;
      draft.record.entry = part.value;
      draft.record.size = part.size;
      draft.record.binding = part.binding;
      draft.source = part.source;
      draft.record.first_name = static_cast<uint32_t>(table_.names_.size());
      draft.record.name_count = 1;
      table_.names_.push_back(part.name);
      drafts_.push_back(draft);
      return;
    }
    uint32_t* last = &drafts_[parent->second].first_piece;
    while (*last != kNone) last = &pieces_[*last].next;
    *last = static_cast<uint32_t>(pieces_.size());
    pieces_.push_back({{part.value, part.value + part.size},
                       absl::EndsWith(part.name, ".cold") ? nullptr : part.name,
                       kNone});
  }

  // Gives sizes to functions that have none, and a function to unwind entries
  // that no symbol covers; marks the patchable entries.
  void AddUnwindEntries() {
    absl::flat_hash_map<uintptr_t, size_t> size_at;
    for (const CodeRange& range : unwind_entries_) {
      size_at.emplace(range.begin, range.end - range.begin);
    }
    std::vector<CodeRange> covered = linkage_stubs_;
    covered.reserve(covered.size() + drafts_.size() + pieces_.size());
    for (Draft& draft : drafts_) {
      const auto unwind = size_at.find(draft.record.entry);
      if (unwind != size_at.end()) {
        if (draft.record.size == 0) draft.record.size = unwind->second;
        draft.record.has_patchable_entry =
            IsPatchable(Loaded(draft.record.entry));
      }
      covered.push_back(OwnRange(draft));
    }
    for (const Piece& piece : pieces_) covered.push_back(piece.range);
    std::sort(covered.begin(), covered.end(),
              [](const CodeRange& a, const CodeRange& b) {
                return a.begin < b.begin;
              });
    size_t next = 0;
    uintptr_t covered_to = 0;
    for (const CodeRange& range : unwind_entries_) {
      while (next < covered.size() && covered[next].begin <= range.begin) {
        covered_to = std::max(covered_to, covered[next++].end);
      }
      if (range.begin < covered_to || range.begin == range.end) continue;
      Draft draft;
      draft.record.entry = range.begin;
      draft.record.size = range.end - range.begin;
      draft.record.has_patchable_entry = IsPatchable(Loaded(range.begin));
      drafts_.push_back(draft);
    }
  }

  static CodeRange OwnRange(const Draft& draft) {
    return {draft.record.entry, draft.record.entry + draft.record.size};
  }

  void AddRange(const CodeRange& range) {
    table_.ranges_.push_back(range);
    if (range.begin == range.end) return;
    table_.stretches_.push_back(
        {range.begin, range.end, 0,
         static_cast<uint32_t>(table_.functions_.size())});
  }

  void Finish() {
    symbols_ = {};
    by_name_ = {};
    const auto is_before = [](const Draft& a, const Draft& b) {
      return a.record.entry < b.record.entry;
    };
    if (!std::is_sorted(drafts_.begin(), drafts_.end(), is_before)) {
      std::stable_sort(drafts_.begin(), drafts_.end(), is_before);
    }
    table_.names_.shrink_to_fit();
    table_.functions_.reserve(drafts_.size());
    table_.ranges_.reserve(drafts_.size() + pieces_.size());
    table_.stretches_.reserve(drafts_.size() + pieces_.size());
    for (const Draft& draft : drafts_) {
      FunctionRecord record = draft.record;
      record.first_range = static_cast<uint32_t>(table_.ranges_.size());
      record.first_clone = static_cast<uint32_t>(table_.clones_.size());
      AddRange(OwnRange(draft));
      for (uint32_t i = draft.first_piece; i != kNone; i = pieces_[i].next) {
        AddRange(pieces_[i].range);
        if (pieces_[i].clone != nullptr) {
          table_.clones_.push_back(pieces_[i].clone);
        }
      }
      record.range_count =
          static_cast<uint32_t>(table_.ranges_.size()) - record.first_range;
      record.clone_count =
          static_cast<uint32_t>(table_.clones_.size()) - record.first_clone;
      table_.functions_.push_back(record);
    }
    drafts_ = {};
    const auto begins_before = [](const Stretch& a, const Stretch& b) {
      return a.begin < b.begin;
    };
    if (!std::is_sorted(table_.stretches_.begin(), table_.stretches_.end(),
                        begins_before)) {
      std::stable_sort(table_.stretches_.begin(), table_.stretches_.end(),
                       begins_before);
    }
    table_.stretch_begins_.reserve(table_.stretches_.size());
    uintptr_t max_end = 0;
    for (Stretch& stretch : table_.stretches_) {
      max_end = std::max(max_end, stretch.end);
      stretch.max_end = max_end;
      table_.stretch_begins_.push_back(stretch.begin);
    }
  }

  SymbolTable& table_;
  Elf* const elf_;  // null if it is in memory
  const ImageInMemory* const memory_;
  Elf* const debug_elf_;    // of the separate debug file; may be null
  Elf_Scn* all_ = nullptr;  // .symtab
  Elf64_Phdr dynamic_{};
  const char* raw_ = nullptr;
  size_t raw_size_ = 0;
  std::vector<Elf64_Phdr> loads_;
  std::vector<CodeRange> unwind_entries_;
  std::vector<CodeRange> linkage_stubs_;
  std::vector<Symbol> symbols_;
  absl::flat_hash_set<std::pair<absl::string_view, uintptr_t>> exported_;
  std::vector<Draft> drafts_;
  std::vector<Piece> pieces_;
  // (source file, name) -> index into drafts_.
  absl::flat_hash_map<std::pair<uint32_t, absl::string_view>, size_t> by_name_;
};

absl::StatusOr<std::unique_ptr<SymbolTable>> SymbolTable::Of(
    const std::string& name, Elf* elf, const ImageInMemory* memory,
    Elf* debug_elf) {
  if (elf == nullptr && memory == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, " cannot be read: ", elf_errmsg(-1)));
  }
  // The vector of string tables must not move: names point into its strings,
  // some of which are short enough to lie in the vector itself.
  std::unique_ptr<SymbolTable> table(new SymbolTable);
  table->name_ = name;
  table->string_tables_.reserve(2);
  const absl::Status status =
      Builder(table.get(), elf, memory, debug_elf).Build();
  if (!status.ok()) return status;
  return table;
}

}  // namespace code_internal
}  // namespace instar
