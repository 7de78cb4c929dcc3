// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/elf_image.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/linux/elf_machine.h"
#include "base/status_macros.h"

namespace instar {
namespace manager_internal {
namespace {

constexpr std::size_t kMaxSegments = 64;
constexpr std::size_t kMaxBytes = std::size_t{1} << 30;
// More than any process has for its objects (48-bit addresses, halved).
constexpr std::uint64_t kMaxAddress = std::uint64_t{1} << 46;

absl::Status Damaged(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(
      "is truncated or damaged (", what, "); build or copy it again"));
}

// Reads exactly [offset, offset + size) of the file.
absl::Status ReadAt(int file, std::size_t offset, std::size_t size,
                    char* result) {
  while (size > 0) {
    const ssize_t length =
        pread(file, result, size, static_cast<off_t>(offset));
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot be read: ", std::strerror(errno)));
    }
    if (length == 0) return Damaged("it ends early");
    offset += static_cast<std::size_t>(length);
    size -= static_cast<std::size_t>(length);
    result += length;
  }
  return absl::OkStatus();
}

std::uint64_t AlignUp(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

}  // namespace

void ForEachNoteIn(
    absl::string_view segment,
    absl::FunctionRef<void(absl::string_view owner, std::uint32_t type,
                           absl::string_view descriptor)>
        visit) {
  while (segment.size() >= sizeof(Elf64_Nhdr)) {
    Elf64_Nhdr header;
    std::memcpy(&header, segment.data(), sizeof(header));
    segment.remove_prefix(sizeof(header));
    const std::uint64_t name_room = AlignUp(header.n_namesz, 4);
    const std::uint64_t room = name_room + AlignUp(header.n_descsz, 4);
    // The last one may lack its padding.
    if (name_room + header.n_descsz > segment.size()) return;
    absl::string_view owner = segment.substr(0, header.n_namesz);
    if (!owner.empty() && owner.back() == '\0') owner.remove_suffix(1);
    visit(owner, header.n_type, segment.substr(name_room, header.n_descsz));
    segment.remove_prefix(std::min<std::uint64_t>(room, segment.size()));
  }
}

std::string HexDigits(absl::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string digits;
  for (const unsigned char byte : bytes) {
    digits += kDigits[byte >> 4];
    digits += kDigits[byte & 15];
  }
  return digits;
}

absl::StatusOr<ElfImage> ElfImage::Read(int file, std::size_t file_size,
                                        Part part) {
  ElfImage image;
  INSTAR_RETURN_IF_ERROR(image.ReadHeaders(file, file_size, part));
  if (part == Part::kWholeFile) INSTAR_RETURN_IF_ERROR(image.ReadSections());
  INSTAR_RETURN_IF_ERROR(image.ReadDynamicSection());
  INSTAR_RETURN_IF_ERROR(image.CountSymbols());
  return image;
}

absl::Status ElfImage::ReadHeaders(int file, std::size_t file_size, Part part) {
  Elf64_Ehdr header;
  const auto not_elf = [] {
    return absl::InvalidArgumentError(
        absl::StrCat("is not an ELF shared object for ", kOwnElfMachineName));
  };
  if (file_size < sizeof(header)) return not_elf();
  INSTAR_RETURN_IF_ERROR(
      ReadAt(file, 0, sizeof(header), reinterpret_cast<char*>(&header)));
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_ident[EI_VERSION] != EV_CURRENT ||
      (header.e_ident[EI_OSABI] != ELFOSABI_SYSV &&
       header.e_ident[EI_OSABI] != ELFOSABI_GNU) ||
      header.e_type != ET_DYN || header.e_machine != kOwnElfMachine ||
      header.e_version != EV_CURRENT) {
    return not_elf();
  }
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 ||
      header.e_phnum > kMaxSegments ||
      header.e_phoff > file_size - sizeof(header)) {
    return Damaged("its program headers");
  }
  segments_.resize(header.e_phnum);
  const std::size_t table_size = segments_.size() * sizeof(Elf64_Phdr);
  if (table_size > file_size - header.e_phoff) {
    return Damaged("its program headers");
  }
  INSTAR_RETURN_IF_ERROR(ReadAt(file, header.e_phoff, table_size,
                                reinterpret_cast<char*>(segments_.data())));

  std::size_t end = header.e_phoff + table_size;
  std::uint64_t last_address = 0;
  bool is_first = true;
  const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  // What says nothing of stacks gets executable ones from the dynamic linker.
  wants_executable_stack_ = true;
  for (const Elf64_Phdr& segment : segments_) {
    if (segment.p_type == PT_GNU_STACK) {
      wants_executable_stack_ = (segment.p_flags & PF_X) != 0;
      continue;
    }
    if (segment.p_offset > file_size ||
        segment.p_filesz > file_size - segment.p_offset) {
      return Damaged("a segment lies behind its end");
    }
    if (segment.p_vaddr > kMaxAddress || segment.p_memsz > kMaxAddress ||
        segment.p_filesz > segment.p_memsz) {
      return Damaged("a segment's address");
    }
    if (segment.p_type != PT_LOAD) continue;
    // Which is what the dynamic linker goes by.
    if (segment.p_align != 0 && segment.p_align < page) {
      return absl::InvalidArgumentError(absl::StrCat(
          "was linked for pages of ", segment.p_align, " bytes, and those of ",
          "this system have ", page, "; link it with -z max-page-size=65536"));
    }
    if ((!is_first && segment.p_vaddr < last_address) ||
        segment.p_vaddr % page != segment.p_offset % page ||
        segment.p_align > kMaxAddress ||
        (segment.p_align & (segment.p_align - 1)) != 0) {
      return Damaged("the order of its segments");
    }
    is_first = false;
    last_address = segment.p_vaddr + segment.p_memsz;
    end = std::max<std::size_t>(end, segment.p_offset + segment.p_filesz);
    if ((segment.p_flags & PF_X) != 0) code_size_ += segment.p_filesz;
  }
  if (is_first) return Damaged("it has nothing to load");
  loaded_size_ = end;
  if (part == Part::kWholeFile) end = file_size;
  if (end > kMaxBytes) {
    return absl::InvalidArgumentError("is larger than 1 GiB");
  }
  bytes_.resize(end);
  return ReadAt(file, 0, end, &bytes_[0]);
}

absl::Status ElfImage::ReadSections() {
  const Elf64_Ehdr header = *At<Elf64_Ehdr>(0);
  if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shnum == 0 ||
      header.e_shstrndx >= header.e_shnum || header.e_shoff > bytes_.size() ||
      header.e_shnum * sizeof(Elf64_Shdr) > bytes_.size() - header.e_shoff) {
    return Damaged("its section headers");
  }
  const auto header_of = [&](std::size_t number) {
    return *At<Elf64_Shdr>(header.e_shoff + number * sizeof(Elf64_Shdr));
  };
  const auto is_in_file = [&](const Elf64_Shdr& section) {
    return section.sh_offset <= bytes_.size() &&
           section.sh_size <= bytes_.size() - section.sh_offset;
  };
  const Elf64_Shdr names = header_of(header.e_shstrndx);
  if (names.sh_type != SHT_STRTAB || !is_in_file(names)) {
    return Damaged("the names of its sections");
  }
  const absl::string_view all_names =
      absl::string_view(bytes_).substr(names.sh_offset, names.sh_size);
  for (std::size_t i = 1; i < header.e_shnum; ++i) {
    const Elf64_Shdr section = header_of(i);
    if (section.sh_name < all_names.size()) {
      const absl::string_view name = all_names.substr(section.sh_name);
      section_headers_.push_back({name.substr(0, name.find('\0')),
                                  section.sh_type, section.sh_flags,
                                  section.sh_addr, section.sh_size});
    }
    // What takes no room in the file, or means something else there.
    if (section.sh_type == SHT_NULL || section.sh_type == SHT_NOBITS ||
        (section.sh_flags & SHF_COMPRESSED) != 0) {
      continue;
    }
    if (!is_in_file(section)) return Damaged("a section lies behind its end");
    if (section.sh_name >= all_names.size()) {
      return Damaged("the name of a section");
    }
    const absl::string_view rest = all_names.substr(section.sh_name);
    const std::size_t end = rest.find('\0');
    if (end == absl::string_view::npos) {
      return Damaged("the name of a section");
    }
    sections_.push_back(
        {rest.substr(0, end), {section.sh_offset, section.sh_size}});
  }
  return absl::OkStatus();
}

std::optional<ElfImage::Section> ElfImage::FindSection(
    absl::string_view name) const {
  for (const auto& [its_name, section] : sections_) {
    if (its_name == name) return section;
  }
  return std::nullopt;
}

std::vector<ElfImage::Range> ElfImage::VariableRanges() const {
  std::vector<Range> ranges;
  for (const Elf64_Phdr& segment : segments_) {
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) == 0) continue;
    Range range = {segment.p_vaddr, segment.p_memsz};
    for (const Elf64_Phdr& fixed : segments_) {
      // The linker has put it at the beginning.
      if (fixed.p_type != PT_GNU_RELRO || fixed.p_vaddr != segment.p_vaddr ||
          fixed.p_memsz > segment.p_memsz) {
        continue;
      }
      range = {segment.p_vaddr + fixed.p_memsz,
               segment.p_memsz - fixed.p_memsz};
    }
    if (range.size > 0) ranges.push_back(range);
  }
  return ranges;
}

bool ElfImage::has_thread_locals() const {
  return std::any_of(
      segments_.begin(), segments_.end(),
      [](const Elf64_Phdr& segment) { return segment.p_type == PT_TLS; });
}

template <typename T>
std::optional<T> ElfImage::At(std::size_t offset) const {
  if (offset > bytes_.size() || sizeof(T) > bytes_.size() - offset) {
    return std::nullopt;
  }
  T result;
  std::memcpy(&result, bytes_.data() + offset, sizeof(T));
  return result;
}

std::optional<std::size_t> ElfImage::OffsetIn(std::uint64_t address,
                                              std::uint64_t size,
                                              Elf64_Word flags) const {
  for (const Elf64_Phdr& segment : segments_) {
    if (segment.p_type != PT_LOAD || (segment.p_flags & flags) != flags ||
        address < segment.p_vaddr) {
      continue;
    }
    const std::uint64_t skip = address - segment.p_vaddr;
    if (skip > segment.p_filesz || size > segment.p_filesz - skip) continue;
    return segment.p_offset + skip;
  }
  return std::nullopt;
}

std::optional<std::size_t> ElfImage::OffsetOf(std::uint64_t address,
                                              std::uint64_t size) const {
  return OffsetIn(address, size, 0);
}

std::optional<std::size_t> ElfImage::OffsetOfCode(std::uint64_t address,
                                                  std::uint64_t size) const {
  return OffsetIn(address, size, PF_X);
}

std::optional<absl::string_view> ElfImage::StringAt(
    std::uint64_t offset) const {
  if (offset >= strings_.size()) return std::nullopt;
  const absl::string_view rest = strings_.substr(offset);
  const std::size_t end = rest.find('\0');
  if (end == absl::string_view::npos) return std::nullopt;
  return rest.substr(0, end);
}

absl::Status ElfImage::ReadDynamicSection() {
  const auto segment =
      std::find_if(segments_.begin(), segments_.end(),
                   [](const Elf64_Phdr& s) { return s.p_type == PT_DYNAMIC; });
  if (segment == segments_.end()) return Damaged("no dynamic section");
  // Loaded is what lies at its address, whatever its offset says.
  const std::optional<std::size_t> offset =
      OffsetOf(segment->p_vaddr, segment->p_filesz);
  if (!offset.has_value()) return Damaged("its dynamic section");
  dynamic_offset_ = *offset;
  bool has_end = false;
  for (std::size_t i = 0; i < segment->p_filesz / sizeof(Elf64_Dyn); ++i) {
    dynamic_.push_back(*At<Elf64_Dyn>(*offset + i * sizeof(Elf64_Dyn)));
    has_end = dynamic_.back().d_tag == DT_NULL;
    if (has_end) break;
  }
  if (!has_end) return Damaged("its dynamic section has no end");

  const std::optional<Elf64_Xword> strings = DynamicValue(DT_STRTAB);
  const std::optional<Elf64_Xword> strings_size = DynamicValue(DT_STRSZ);
  if (!strings.has_value() || !strings_size.has_value()) {
    return Damaged("no string table");
  }
  const std::optional<std::size_t> strings_at =
      OffsetOf(*strings, *strings_size);
  if (!strings_at.has_value()) return Damaged("its string table");
  strings_ = absl::string_view(bytes_).substr(*strings_at, *strings_size);
  for (const Elf64_Dyn& entry : dynamic_) {
    if (entry.d_tag != DT_SONAME && entry.d_tag != DT_NEEDED) continue;
    const std::optional<absl::string_view> name = StringAt(entry.d_un.d_val);
    if (!name.has_value()) return Damaged("a name in its dynamic section");
    if (entry.d_tag == DT_SONAME) {
      soname_ = *name;
    } else {
      needed_.push_back(*name);
    }
  }
  return absl::OkStatus();
}

absl::Status ElfImage::CountSymbols() {
  const std::optional<Elf64_Xword> symbols = DynamicValue(DT_SYMTAB);
  if (!symbols.has_value()) return Damaged("no symbol table");
  // The dynamic section does not say how many there are; the hash tables do.
  if (const auto address = DynamicValue(DT_HASH)) {
    const auto offset = OffsetOf(*address, 2 * sizeof(Elf64_Word));
    if (!offset.has_value()) return Damaged("its hash table");
    symbol_count_ = *At<Elf64_Word>(*offset + sizeof(Elf64_Word));
  } else if (const auto address = DynamicValue(DT_GNU_HASH)) {
    struct {
      Elf64_Word buckets, first_symbol, bloom_words, bloom_shift;
    } header;
    const auto offset = OffsetOf(*address, sizeof(header));
    if (!offset.has_value()) return Damaged("its hash table");
    header = *At<decltype(header)>(*offset);
    // Both counts have 32 bits: none of these overflows.
    const std::uint64_t buckets_at =
        *offset + sizeof(header) + std::uint64_t{8} * header.bloom_words;
    const std::uint64_t chains_at =
        buckets_at + std::uint64_t{4} * header.buckets;
    if (chains_at > bytes_.size()) return Damaged("its hash table");
    std::size_t last = 0;  // where the last chain begins; 0: there is none
    for (std::uint64_t i = 0; i < header.buckets; ++i) {
      last = std::max<std::size_t>(last, *At<Elf64_Word>(buckets_at + 4 * i));
    }
    symbol_count_ = header.first_symbol;
    if (last != 0) {
      if (last < header.first_symbol) return Damaged("its hash table");
      // To the end of that chain.
      for (symbol_count_ = last;;) {
        const auto hash = At<Elf64_Word>(
            chains_at + 4 * (symbol_count_ - header.first_symbol));
        if (!hash.has_value()) return Damaged("its hash table");
        ++symbol_count_;
        if ((*hash & 1) != 0) break;
      }
    }
  } else {
    return Damaged("no hash table");
  }
  const auto offset = OffsetOf(*symbols, symbol_count_ * sizeof(Elf64_Sym));
  if (!offset.has_value()) return Damaged("its symbol table");
  symbols_offset_ = *offset;
  return absl::OkStatus();
}

Elf64_Sym ElfImage::SymbolAt(std::size_t index) const {
  return *At<Elf64_Sym>(symbols_offset_ + index * sizeof(Elf64_Sym));
}

void ElfImage::ForEachNote(
    absl::FunctionRef<void(absl::string_view owner, std::uint32_t type,
                           absl::string_view descriptor)>
        visit) const {
  for (const Elf64_Phdr& segment : segments_) {
    if (segment.p_type != PT_NOTE) continue;
    const auto offset = OffsetOf(segment.p_vaddr, segment.p_filesz);
    if (!offset.has_value()) continue;
    // Notes with an alignment of 8 are others' (.note.gnu.property).
    if (segment.p_align > 4) continue;
    ForEachNoteIn(absl::string_view(bytes_).substr(*offset, segment.p_filesz),
                  visit);
  }
}

std::vector<absl::string_view> ElfImage::UndefinedSymbols() const {
  std::vector<absl::string_view> names;
  for (std::size_t i = 1; i < symbol_count_; ++i) {
    const Elf64_Sym symbol = SymbolAt(i);
    if (symbol.st_shndx != SHN_UNDEF ||
        ELF64_ST_BIND(symbol.st_info) == STB_WEAK) {
      continue;
    }
    const std::optional<absl::string_view> name = StringAt(symbol.st_name);
    if (name.has_value() && !name->empty()) names.push_back(*name);
  }
  return names;
}

std::optional<Elf64_Sym> ElfImage::FindDefined(absl::string_view name) const {
  for (std::size_t i = 1; i < symbol_count_; ++i) {
    const Elf64_Sym symbol = SymbolAt(i);
    if (symbol.st_shndx != SHN_UNDEF && StringAt(symbol.st_name) == name) {
      return symbol;
    }
  }
  return std::nullopt;
}

std::vector<Elf64_Sym> ElfImage::DefinedWithPrefix(
    absl::string_view prefix) const {
  std::vector<Elf64_Sym> found;
  for (std::size_t i = 1; i < symbol_count_; ++i) {
    const Elf64_Sym symbol = SymbolAt(i);
    if (symbol.st_shndx == SHN_UNDEF) continue;
    const std::optional<absl::string_view> name = StringAt(symbol.st_name);
    if (name.has_value() && absl::StartsWith(*name, prefix)) {
      found.push_back(symbol);
    }
  }
  return found;
}

std::optional<std::size_t> ElfImage::OffsetOfDynamicValue(
    Elf64_Sxword tag) const {
  for (std::size_t i = 0; i < dynamic_.size(); ++i) {
    if (dynamic_[i].d_tag != tag) continue;
    return dynamic_offset_ + i * sizeof(Elf64_Dyn) + offsetof(Elf64_Dyn, d_un);
  }
  return std::nullopt;
}

std::optional<Elf64_Xword> ElfImage::DynamicValue(Elf64_Sxword tag) const {
  const std::optional<std::size_t> offset = OffsetOfDynamicValue(tag);
  if (!offset.has_value()) return std::nullopt;
  return At<Elf64_Xword>(*offset);
}

std::optional<std::size_t> ElfImage::OffsetOfSoname() const {
  if (soname_.empty()) return std::nullopt;
  return static_cast<std::size_t>(soname_.data() - bytes_.data());
}

}  // namespace manager_internal
}  // namespace instar
