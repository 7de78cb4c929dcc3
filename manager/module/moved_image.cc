// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/moved_image.h"

#include <elf.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/linux/elf_machine.h"
#include "base/status_macros.h"

// Of later versions of elf.h.
#ifndef DT_RELR
#define DT_RELRSZ 35
#define DT_RELR 36
#define DT_RELRENT 37
#endif

namespace instar {
namespace manager_internal {
namespace {

// Of x86-64: other processors have no updates from two builds, which are what
// is moved (CheckMovable()).
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kMostAligned = std::uint64_t{1} << 24;
// Of the x86-64 psABI: where the linker says how its PLT looks.
constexpr Elf64_Sxword kX86Plt = 0x70000000;
constexpr Elf64_Sxword kX86PltSize = 0x70000001;
constexpr Elf64_Sxword kX86PltEntry = 0x70000003;

// The compiler's own, in each shared object, which refers to nothing outside.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kOwnFinalizers = 2;
#else
constexpr std::uint64_t kOwnFinalizers = 1;
#endif

enum class Meaning { kValue, kAddress, kUnknown };

// Of a dynamic entry (System V ABI, chapter 5; elf.h for those of GNU).
Meaning MeaningOf(Elf64_Sxword tag) {
  switch (tag) {
    case DT_PLTGOT:
    case DT_HASH:
    case DT_STRTAB:
    case DT_SYMTAB:
    case DT_RELA:
    case DT_INIT:
    case DT_FINI:
    case DT_JMPREL:
    case DT_INIT_ARRAY:
    case DT_FINI_ARRAY:
    case DT_RELR:
    case DT_VERSYM:
    case DT_VERDEF:
    case DT_VERNEED:
    case kX86Plt:
      return Meaning::kAddress;
    case DT_NULL:
    case DT_NEEDED:
    case DT_PLTRELSZ:
    case DT_RELASZ:
    case DT_RELAENT:
    case DT_STRSZ:
    case DT_SYMENT:
    case DT_SONAME:
    case DT_RPATH:
    case DT_SYMBOLIC:
    case DT_PLTREL:
    case DT_DEBUG:
    case DT_BIND_NOW:
    case DT_INIT_ARRAYSZ:
    case DT_FINI_ARRAYSZ:
    case DT_RUNPATH:
    case DT_FLAGS:
    case DT_RELRSZ:
    case DT_RELRENT:
    case DT_RELACOUNT:
    case DT_FLAGS_1:
    case DT_VERDEFNUM:
    case DT_VERNEEDNUM:
    case kX86PltSize:
    case kX86PltEntry:
      return Meaning::kValue;
    default:
      break;
  }
  if (tag >= DT_VALRNGLO && tag <= DT_VALRNGHI) return Meaning::kValue;
  if (tag >= DT_ADDRRNGLO && tag <= DT_ADDRRNGHI) return Meaning::kAddress;
  return Meaning::kUnknown;
}

absl::Status Damaged(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(
      "is truncated or damaged (", what, "); build or copy it again"));
}

absl::Status Refuse(absl::string_view what, absl::string_view remedy) {
  return absl::InvalidArgumentError(absl::StrCat(what, "; ", remedy));
}

template <typename T>
T ReadAt(absl::string_view bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(value));
  return value;
}

template <typename T>
void WriteTo(std::string& bytes, std::size_t offset, const T& value) {
  std::memcpy(&bytes[offset], &value, sizeof(value));
}

// A table of the dynamic section.
struct Table {
  std::uint64_t address = 0;
  std::size_t offset = 0;  // in the image's bytes
  std::uint64_t size = 0;  // in bytes; 0: there is none
};

absl::Status FindTable(const ElfImage& image, Elf64_Sxword tag,
                       Elf64_Sxword size_tag, std::size_t row, Table& table) {
  const auto address = image.DynamicValue(tag);
  const auto size = image.DynamicValue(size_tag);
  if (!address.has_value() || size.value_or(0) == 0) return absl::OkStatus();
  const auto offset = image.OffsetOf(*address, *size);
  if (!offset.has_value() || *size % row != 0) {
    return Damaged("its relocations");
  }
  table = {*address, *offset, *size};
  return absl::OkStatus();
}

struct Relocations {
  Table rela;
  Table plt;   // empty if it is a part of `rela`
  Table relr;  // packed relative ones
};

absl::Status FindRelocations(const ElfImage& image, Relocations& found) {
  INSTAR_RETURN_IF_ERROR(
      FindTable(image, DT_RELA, DT_RELASZ, sizeof(Elf64_Rela), found.rela));
  INSTAR_RETURN_IF_ERROR(
      FindTable(image, DT_JMPREL, DT_PLTRELSZ, sizeof(Elf64_Rela), found.plt));
  INSTAR_RETURN_IF_ERROR(
      FindTable(image, DT_RELR, DT_RELRSZ, sizeof(Elf64_Xword), found.relr));
  const std::uint64_t rela_end = found.rela.address + found.rela.size;
  if (found.plt.size == 0 || found.plt.address >= rela_end ||
      found.plt.address + found.plt.size <= found.rela.address) {
    return absl::OkStatus();
  }
  if (found.plt.address < found.rela.address ||
      found.plt.address + found.plt.size > rela_end ||
      (found.plt.address - found.rela.address) % sizeof(Elf64_Rela) != 0) {
    return Damaged("its relocations overlap");
  }
  found.plt = {};
  return absl::OkStatus();
}

// Calls visit(offset in the bytes, relocation).
void ForEachRelocation(
    const ElfImage& image, const Relocations& relocations,
    absl::FunctionRef<void(std::size_t, const Elf64_Rela&)> visit) {
  for (const Table* table : {&relocations.rela, &relocations.plt}) {
    for (std::size_t i = 0; i < table->size; i += sizeof(Elf64_Rela)) {
      const std::size_t offset = table->offset + i;
      visit(offset, ReadAt<Elf64_Rela>(image.bytes(), offset));
    }
  }
}

// Calls `visit` with the address of each word that packed relocations move. An
// even entry is the address of a word; an odd one says, by its other 63 bits,
// which of the 63 words that follow are moved, too (generic System V ABI,
// "Relative Relocation Table").
void ForEachPackedWord(const ElfImage& image, const Table& relr,
                       absl::FunctionRef<void(std::uint64_t)> visit) {
  constexpr std::uint64_t kWord = sizeof(Elf64_Xword);
  std::uint64_t next = 0;
  for (std::size_t i = 0; i < relr.size; i += kWord) {
    const auto entry = ReadAt<Elf64_Xword>(image.bytes(), relr.offset + i);
    if ((entry & 1) == 0) {
      visit(entry);
      next = entry + kWord;
      continue;
    }
    for (int bit = 1; bit < 64; ++bit) {
      if (((entry >> bit) & 1) != 0) visit(next + (bit - 1) * kWord);
    }
    next += 63 * kWord;
  }
}

bool IsMoved(const Elf64_Sym& symbol) {
  return symbol.st_shndx != SHN_UNDEF && symbol.st_shndx < SHN_LORESERVE &&
         ELF64_ST_TYPE(symbol.st_info) != STT_TLS;
}

Elf64_Sym SymbolAt(const ElfImage& image, std::size_t number) {
  return ReadAt<Elf64_Sym>(image.bytes(),
                           image.symbols_offset() + number * sizeof(Elf64_Sym));
}

absl::Status CheckRelocations(const ElfImage& image) {
  Relocations relocations;
  INSTAR_RETURN_IF_ERROR(FindRelocations(image, relocations));
  absl::Status status;
  ForEachRelocation(
      image, relocations, [&](std::size_t, const Elf64_Rela& relocation) {
        if (!status.ok()) return;
        const auto type = ELF64_R_TYPE(relocation.r_info);
        if (type == R_X86_64_IRELATIVE) {
          status = Refuse("has an indirect function (IFUNC)",
                          "which would run before it is known where the "
                          "module lies; compile it without target_clones and "
                          "ifunc attributes");
        } else if (relocation.r_offset > kMaxMoved) {
          status = Damaged("the place of a relocation");
        }
      });
  INSTAR_RETURN_IF_ERROR(status);
  ForEachPackedWord(image, relocations.relr, [&](std::uint64_t address) {
    if (!image.OffsetOf(address, sizeof(Elf64_Xword)).has_value()) {
      status = Damaged("the place of a packed relocation");
    }
  });
  return status;
}

}  // namespace

std::uint64_t SizeInMemory(const ElfImage& image) {
  std::uint64_t size = 0;
  for (const Elf64_Phdr& segment : image.segments()) {
    if (segment.p_type == PT_LOAD) {
      size = std::max(size, segment.p_vaddr + segment.p_memsz);
    }
  }
  return (size + kPage - 1) / kPage * kPage;
}

std::uint64_t AlignmentInMemory(const ElfImage& image) {
  std::uint64_t alignment = kPage;
  for (const Elf64_Phdr& segment : image.segments()) {
    if (segment.p_type == PT_LOAD || segment.p_type == PT_TLS) {
      alignment = std::max(alignment, segment.p_align);
    }
  }
  return alignment;
}

absl::Status CheckMovable(const ElfImage& image) {
  if (kOwnElfMachine != EM_X86_64) {
    return Refuse("is an update from two builds",
                  absl::StrCat("on ", kOwnElfMachineName,
                               ", load modules of update_module"));
  }
  // One that came to lie elsewhere is unloaded, which runs them.
  if (image.DynamicValue(DT_FINI_ARRAYSZ).value_or(0) >
      kOwnFinalizers * sizeof(void (*)())) {
    return Refuse("has functions that run when it is unloaded",
                  "take the attribute `destructor` out of its sources");
  }
  bool is_first = true;
  for (const Elf64_Phdr& segment : image.segments()) {
    if (segment.p_type == PT_TLS &&
        (segment.p_align & (segment.p_align - 1)) != 0) {
      return Damaged("the alignment of its thread-local variables");
    }
    if (segment.p_type != PT_LOAD) continue;
    if (is_first && segment.p_vaddr / kPage != 0) {
      return Refuse("was linked at an address of its own",
                    "link it without -Ttext-segment and --image-base");
    }
    is_first = false;
  }
  if (SizeInMemory(image) > kMaxMoved / 2) {
    return Refuse("takes more than 1 GiB", "make it smaller");
  }
  if (AlignmentInMemory(image) > kMostAligned) {
    return Refuse("is to be aligned by more than 16 MiB",
                  "compile it without such an alignment");
  }
  for (const Elf64_Dyn& entry : image.dynamic()) {
    if (entry.d_tag == DT_TEXTREL ||
        (entry.d_tag == DT_FLAGS && (entry.d_un.d_val & DF_TEXTREL) != 0)) {
      return Refuse("has relocations in its code",
                    "compile all of it with -fPIC");
    }
    if (entry.d_tag == DT_FLAGS_1 && (entry.d_un.d_val & DF_1_NODELETE) != 0) {
      return Refuse("can never be unloaded", "link it without -z nodelete");
    }
    if (MeaningOf(entry.d_tag) == Meaning::kUnknown) {
      return Refuse(
          absl::StrFormat("has a dynamic entry %#x that is not known here",
                          entry.d_tag),
          "link it with the linker that the program was linked with");
    }
    if (MeaningOf(entry.d_tag) == Meaning::kAddress &&
        entry.d_un.d_ptr > kMaxMoved) {
      return Damaged("an address in its dynamic section");
    }
  }
  for (std::size_t i = 0; i < image.symbol_count(); ++i) {
    const Elf64_Sym symbol = SymbolAt(image, i);
    if (!IsMoved(symbol)) continue;
    if (ELF64_ST_TYPE(symbol.st_info) == STT_GNU_IFUNC) {
      return Refuse("exports an indirect function (IFUNC)",
                    "which would run before it is known where the module "
                    "lies; compile it without target_clones and ifunc "
                    "attributes");
    }
  }
  return CheckRelocations(image);
}

void MoveTo(const ElfImage& image, std::uint64_t base, std::string& bytes) {
  Relocations relocations;
  FindRelocations(image, relocations).IgnoreError();  // it has been checked
  ForEachRelocation(
      image, relocations, [&](std::size_t offset, Elf64_Rela relocation) {
        relocation.r_offset += base;
        if (ELF64_R_TYPE(relocation.r_info) == R_X86_64_RELATIVE) {
          // Wraps: the addend of a damaged file can be anything.
          relocation.r_addend = static_cast<Elf64_Sxword>(
              static_cast<Elf64_Xword>(relocation.r_addend) + base);
        }
        WriteTo(bytes, offset, relocation);
      });
  ForEachPackedWord(image, relocations.relr, [&](std::uint64_t address) {
    const std::size_t offset = *image.OffsetOf(address, sizeof(Elf64_Xword));
    WriteTo(bytes, offset, ReadAt<Elf64_Xword>(bytes, offset) + base);
  });
  for (std::size_t i = 0; i < relocations.relr.size; i += sizeof(Elf64_Xword)) {
    const std::size_t offset = relocations.relr.offset + i;
    const auto entry = ReadAt<Elf64_Xword>(image.bytes(), offset);
    if ((entry & 1) == 0) WriteTo(bytes, offset, entry + base);
  }
  for (std::size_t i = 0; i < image.symbol_count(); ++i) {
    Elf64_Sym symbol = SymbolAt(image, i);
    if (!IsMoved(symbol)) continue;
    symbol.st_value += base;
    WriteTo(bytes, image.symbols_offset() + i * sizeof(symbol), symbol);
  }
  for (std::size_t i = 0; i < image.dynamic().size(); ++i) {
    if (MeaningOf(image.dynamic()[i].d_tag) != Meaning::kAddress) continue;
    Elf64_Dyn entry = image.dynamic()[i];
    entry.d_un.d_ptr += base;
    WriteTo(bytes, image.dynamic_offset() + i * sizeof(entry), entry);
  }
  auto header = ReadAt<Elf64_Ehdr>(image.bytes(), 0);
  for (std::size_t i = 0; i < image.segments().size(); ++i) {
    Elf64_Phdr segment = image.segments()[i];
    if (segment.p_type == PT_GNU_STACK || segment.p_type == PT_NULL) continue;
    segment.p_vaddr += base;
    segment.p_paddr += base;
    if (segment.p_type == PT_LOAD) segment.p_align = kPage;
    WriteTo(bytes, header.e_phoff + i * sizeof(segment), segment);
  }
  if (header.e_entry != 0) {
    header.e_entry += base;
    WriteTo(bytes, 0, header);
  }
}

std::vector<ElfImage::Range> RangesOfDynamicLinker(const ElfImage& image) {
  std::vector<ElfImage::Range> ranges;
  const auto header = ReadAt<Elf64_Ehdr>(image.bytes(), 0);
  // The first segment begins with the headers.
  ranges.push_back({0, sizeof(header)});
  ranges.push_back(
      {header.e_phoff, image.segments().size() * sizeof(Elf64_Phdr)});
  for (const Elf64_Phdr& segment : image.segments()) {
    if (segment.p_type == PT_DYNAMIC || segment.p_type == PT_NOTE ||
        segment.p_type == PT_GNU_EH_FRAME) {
      ranges.push_back({segment.p_vaddr, segment.p_filesz});
    }
  }
  if (const auto symbols = image.DynamicValue(DT_SYMTAB)) {
    ranges.push_back({*symbols, image.symbol_count() * sizeof(Elf64_Sym)});
  }
  if (const auto strings = image.DynamicValue(DT_STRTAB)) {
    ranges.push_back({*strings, image.DynamicValue(DT_STRSZ).value_or(0)});
  }
  Relocations relocations;
  if (!FindRelocations(image, relocations).ok()) return ranges;
  for (const Table* table :
       {&relocations.rela, &relocations.plt, &relocations.relr}) {
    if (table->size > 0) ranges.push_back({table->address, table->size});
  }
  ForEachRelocation(
      image, relocations, [&](std::size_t, const Elf64_Rela& relocation) {
        const auto type = ELF64_R_TYPE(relocation.r_info);
        if (type == R_X86_64_NONE) return;
        // A descriptor has two words.
        ranges.push_back(
            {relocation.r_offset,
             (type == R_X86_64_TLSDESC ? 2 : 1) * sizeof(Elf64_Xword)});
      });
  ForEachPackedWord(image, relocations.relr, [&](std::uint64_t address) {
    ranges.push_back({address, sizeof(Elf64_Xword)});
  });
  return ranges;
}

}  // namespace manager_internal
}  // namespace instar
