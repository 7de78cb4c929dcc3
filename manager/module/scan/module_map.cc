// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/scan/module_map.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "code/symbols/images/symbol_name.h"

namespace instar {
namespace manager_internal {
namespace {

// The stub of a lazily bound call, in front of those of the functions: all
// calls of modules are bound when they are loaded, so nobody is ever in it.
constexpr std::uint64_t kLazyStub = 16;

// Not what only the dynamic linker, unwinders and the module itself use, nor
// what runs only while it is loaded and unloaded. Threads may be in the stubs
// of its calls, .plt.
bool IsForOthers(const ElfImage::SectionHeader& section) {
  switch (section.type) {
    case SHT_PROGBITS:
    case SHT_NOBITS:
      break;
    default:
      return false;
  }
  for (const absl::string_view name :
       {".eh_frame", ".eh_frame_hdr", ".init", ".fini", ".got", ".got.plt",
        ".interp"}) {
    if (section.name == name) return false;
  }
  return (section.flags & SHF_ALLOC) != 0 && (section.flags & SHF_TLS) == 0;
}

// Whether the dynamic linker or unwinders have this address, which does not
// lead to anything that others use: where a section begins that is theirs, or
// where a segment ends.
bool IsForLinker(const ElfImage& image, std::uint64_t address) {
  for (const Elf64_Phdr& segment : image.segments()) {
    if (segment.p_type == PT_LOAD &&
        address == segment.p_vaddr + segment.p_memsz) {
      return true;
    }
  }
  for (const ElfImage::SectionHeader& section : image.SectionHeaders()) {
    if (section.address != address) continue;
    for (const absl::string_view name :
         {".eh_frame", ".eh_frame_hdr", ".dynamic"}) {
      if (section.name == name) return true;
    }
  }
  return false;
}

}  // namespace

ModuleMap::ModuleMap(const ElfImage& image)
    : has_thread_locals(image.has_thread_locals()) {
  for (const ElfImage::SectionHeader& section : image.SectionHeaders()) {
    if (!IsForOthers(section)) continue;
    const std::uint64_t unused =
        section.name == ".plt" ? std::min(kLazyStub, section.size) : 0;
    const std::uint64_t end = section.address + section.size;
    // A loop may have nothing but the address behind what it goes through.
    sections.push_back(
        {section.address + unused, IsForLinker(image, end) ? end : end + 1,
         std::string(section.name), (section.flags & SHF_EXECINSTR) != 0});
  }
  // Of a file without sections, nothing is known.
  if (sections.empty()) sections.push_back({0, ~std::uint64_t{0}, "", false});
  // Names that dladdr() has told of. (The dynamic linker has addresses of names
  // of versions, and of the symbols.)
  const auto strings_at = image.DynamicValue(DT_STRTAB);
  for (std::size_t i = 1; i < image.symbol_count(); ++i) {
    Elf64_Sym symbol;
    std::memcpy(
        &symbol,
        image.bytes().data() + image.symbols_offset() + i * sizeof(symbol),
        sizeof(symbol));
    if (symbol.st_shndx == SHN_UNDEF) continue;
    const std::uint64_t name = *strings_at + symbol.st_name;
    const auto offset = image.OffsetOf(name, 1);
    if (!offset.has_value()) continue;
    const std::size_t length =
        absl::string_view(image.bytes()).substr(*offset).find('\0');
    if (length == absl::string_view::npos) continue;
    sections.push_back({name, name + length + 1, ".dynstr", false});
  }
  const auto table = image.FindSection(".symtab");
  const auto strings = image.FindSection(".strtab");
  if (!table.has_value() || !strings.has_value()) return;
  const absl::string_view rows = image.Contents(*table);
  const absl::string_view names = image.Contents(*strings);
  for (std::size_t at = 0; at + sizeof(Elf64_Sym) <= rows.size();
       at += sizeof(Elf64_Sym)) {
    Elf64_Sym symbol;
    std::memcpy(&symbol, rows.data() + at, sizeof(symbol));
    const int type = ELF64_ST_TYPE(symbol.st_info);
    if (symbol.st_shndx == SHN_UNDEF || symbol.st_size == 0 ||
        symbol.st_name >= names.size() ||
        (type != STT_FUNC && type != STT_OBJECT)) {
      continue;
    }
    const absl::string_view rest = names.substr(symbol.st_name);
    symbols.push_back({symbol.st_value, symbol.st_value + symbol.st_size,
                       std::string(rest.substr(0, rest.find('\0'))),
                       type == STT_FUNC});
  }
  std::sort(symbols.begin(), symbols.end(),
            [](const Part& a, const Part& b) { return a.begin < b.begin; });
}

std::string ModuleMap::NameAt(std::uint64_t offset) const {
  const auto after = std::upper_bound(
      symbols.begin(), symbols.end(), offset,
      [](std::uint64_t at, const Part& part) { return at < part.begin; });
  if (after != symbols.begin() && offset < std::prev(after)->end) {
    return code_internal::Demangle(std::prev(after)->name);
  }
  for (const Part& section : sections) {
    if (offset < section.begin || offset >= section.end) continue;
    if (section.is_code) return "its code";
    if (absl::StartsWith(section.name, ".dyn")) return "names of it";
    return absl::StartsWith(section.name, ".rodata") ? "its constants"
                                                     : "its variables";
  }
  return "it";
}

}  // namespace manager_internal
}  // namespace instar
