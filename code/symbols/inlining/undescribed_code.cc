// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/inlining/undescribed_code.h"

#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/fork_mutex.h"
#include "base/linkage_stub.h"
#include "base/linux/elf_machine.h"
#include "base/linux/image_pin.h"
#include "base/linux/loaded_objects.h"
#include "code/symbols/images/code_range.h"
#include "code/symbols/inlining/inlined_copies.h"

namespace instar {
namespace code_internal {
namespace {

// What a slot of the global offset table is for, by its address in the file.
using Slots = absl::flat_hash_map<std::uintptr_t, const char*>;

// Reads what the dynamic linker relocates.
class SlotReader {
 public:
  // `moved_by`: what had been added to its addresses before it was loaded.
  SlotReader(const ElfW(Dyn) * dynamic, std::uintptr_t linker_base,
             std::uintptr_t moved_by)
      : linker_base_(linker_base), moved_by_(moved_by) {
    for (const ElfW(Dyn)* entry = dynamic; entry->d_tag != DT_NULL; ++entry) {
      switch (entry->d_tag) {
        case DT_JMPREL:
          jumps_ = entry->d_un.d_ptr;
          break;
        case DT_PLTRELSZ:
          jumps_size_ = entry->d_un.d_val;
          break;
        case DT_RELA:
          others_ = entry->d_un.d_ptr;
          break;
        case DT_RELASZ:
          others_size_ = entry->d_un.d_val;
          break;
        case DT_SYMTAB:
          symbols_ = entry->d_un.d_ptr;
          break;
        case DT_STRTAB:
          names_ = entry->d_un.d_ptr;
          break;
        default:
          break;
      }
    }
  }

  Slots Read() const {
    Slots slots;
    if (symbols_ == 0 || names_ == 0) return slots;
    Read(jumps_, jumps_size_, slots);
    Read(others_, others_size_, slots);
    return slots;
  }

 private:
  // ld.so has turned these into addresses, in most objects.
  template <typename T>
  const T* At(std::uintptr_t address) const {
    return reinterpret_cast<const T*>(
        address >= linker_base_ ? address : address + linker_base_);
  }

  void Read(std::uintptr_t relocations, std::size_t size, Slots& slots) const {
    if (relocations == 0) return;
    const auto* at = At<ElfW(Rela)>(relocations);
    for (const auto* end = at + size / sizeof(*at); at != end; ++at) {
      const auto type = ELF64_R_TYPE(at->r_info);
      if (type != kJumpSlotRelocation && type != kGlobalDataRelocation) {
        continue;
      }
      const ElfW(Sym)& symbol =
          At<ElfW(Sym)>(symbols_)[ELF64_R_SYM(at->r_info)];
      slots.emplace(at->r_offset - moved_by_,
                    At<char>(names_) + symbol.st_name);
    }
  }

  const std::uintptr_t linker_base_;
  const std::uintptr_t moved_by_;
  std::uintptr_t jumps_ = 0;
  std::size_t jumps_size_ = 0;
  std::uintptr_t others_ = 0;
  std::size_t others_size_ = 0;
  std::uintptr_t symbols_ = 0;
  std::uintptr_t names_ = 0;
};

// Several may have nothing added to their addresses.
bool IsOf(const dl_phdr_info& info, const LoadedImage& image) {
  if (info.dlpi_addr != image.linker_base) return false;
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info.dlpi_phdr[i];
    const std::uintptr_t begin = info.dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && image.code.begin >= begin &&
        image.code.begin < begin + segment.p_memsz) {
      return true;
    }
  }
  return false;
}

// Of an image that is kept loaded.
Slots SlotsOf(const LoadedImage& image) {
  struct Search {
    const LoadedImage& image;
    Slots slots;
  };
  Search search{image, {}};
  ForEachLoadedObject(
      [](dl_phdr_info* info, std::size_t, void* argument) {
        auto& wanted = *static_cast<Search*>(argument);
        if (!IsOf(*info, wanted.image)) return 0;
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const ElfW(Phdr)& segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_DYNAMIC) continue;
          wanted.slots = SlotReader(reinterpret_cast<const ElfW(Dyn)*>(
                                        info->dlpi_addr + segment.p_vaddr),
                                    info->dlpi_addr,
                                    wanted.image.load_base - info->dlpi_addr)
                             .Read();
        }
        return 1;
      },
      &search);
  return std::move(search.slots);
}

// Who refers to a function, by its linkage name; each once.
using References =
    absl::flat_hash_map<std::string, std::vector<const FunctionRecord*>>;

// Whether the four bytes at `code` may be the distance that an instruction
// refers to (Intel SDM, volume 2): that of a call or jump, or of lea, mov, or
// an indirect call or jump with an address relative to the next instruction.
bool MayBeDistance(const unsigned char* code, std::size_t before) {
  constexpr unsigned char kCall = 0xE8;
  constexpr unsigned char kJump = 0xE9;
  constexpr unsigned char kLea = 0x8D;
  constexpr unsigned char kMov = 0x8B;
  constexpr unsigned char kIndirect = 0xFF;
  if (before >= 1 && (code[-1] == kCall || code[-1] == kJump)) return true;
  if (before >= 2 && code[-2] == 0x0F && (code[-1] & 0xF0) == 0x80) return true;
  return before >= 2 &&
         (code[-2] == kLea || code[-2] == kMov || code[-2] == kIndirect) &&
         (code[-1] & 0xC7) == 0x05;
}

// A copy of what may be a stub, or any data among the code: AddressSanitizer
// has put bytes around that which must not be read otherwise.
__attribute__((no_sanitize("address"))) void CopyStub(
    const volatile unsigned char* code, unsigned char* copy) {
  for (std::size_t i = 0; i < kLinkageStubSize; ++i) copy[i] = code[i];
}

class ReferenceReader {
 public:
  explicit ReferenceReader(const LoadedImage& image)
      : image_(image), symbols_(*image.symbols), slots_(SlotsOf(image)) {}

  References Read() {
    for (const FunctionRecord* from : UndescribedFunctions(symbols_)) {
      for (const CodeRange& range : symbols_.ranges(*from)) {
        if (IsCode(range)) Read(*from, range);
      }
    }
    return std::move(found_);
  }

 private:
  bool IsCode(const CodeRange& range) const {
    return range.begin < range.end &&
           image_.code.Contains(image_.load_base + range.begin) &&
           image_.code.Contains(image_.load_base + range.end - 1);
  }

  const unsigned char* At(std::uintptr_t address) const {
    return reinterpret_cast<const unsigned char*>(image_.load_base + address);
  }

  // All four bytes that happen to look like a reference are taken for one: of a
  // megabyte of code some thousand may, and of those one in a million leads to
  // the entry of a function.
  void Read(const FunctionRecord& from, const CodeRange& range) {
    constexpr std::size_t kSize = sizeof(std::int32_t);
    const unsigned char* const code = At(range.begin);
    const std::size_t size = range.end - range.begin;
    for (std::size_t at = 1; at + kSize <= size; ++at) {
      if (!MayBeDistance(code + at, at)) continue;
      std::int32_t distance = 0;
      std::memcpy(&distance, code + at, kSize);
      Note(from, range.begin + at + kSize +
                     static_cast<std::uintptr_t>(std::intptr_t{distance}));
    }
  }

  void Note(const FunctionRecord& from, std::uintptr_t target) {
    const FunctionRecord* const to = symbols_.FindEntry(target);
    if (to != nullptr) {
      if (to->binding == SymbolBinding::kGlobal || to == &from) return;
      for (const char* name : symbols_.names(*to)) Add(name, from);
      return;
    }
    auto slot = slots_.find(target);
    if (slot == slots_.end() && IsCode({target, target + kLinkageStubSize})) {
      unsigned char stub[kLinkageStubSize];
      CopyStub(At(target), stub);
      slot = slots_.find(SlotOfLinkageStub(stub, target));
    }
    // The linkage names of C++ alone: C has no such functions.
    if (slot != slots_.end() && std::strncmp(slot->second, "_Z", 2) == 0) {
      Add(slot->second, from);
    }
  }

  void Add(const char* name, const FunctionRecord& from) {
    std::vector<const FunctionRecord*>& users = found_[name];
    if (users.empty() || users.back() != &from) users.push_back(&from);
  }

  const LoadedImage& image_;
  const SymbolTable& symbols_;
  const Slots slots_;
  References found_;
};

}  // namespace

std::vector<const FunctionRecord*> UndescribedFunctions(
    const SymbolTable& symbols) {
  const InlinedCopyTable& copies = InlinedCopyTable::Of(symbols);
  std::vector<const FunctionRecord*> functions;
  for (const FunctionRecord& function : symbols.functions()) {
    if (function.has_patchable_entry || function.size == 0 ||
        copies.Covers(function.entry)) {
      continue;
    }
    functions.push_back(&function);
  }
  return functions;
}

std::vector<const FunctionRecord*> UndescribedUsersOf(
    const LoadedImage& image, absl::Span<const char* const> linkage_names) {
  // By what is known of the object, which may change.
  static ForkGuarded<absl::flat_hash_map<const InlinedCopyTable*,
                                         std::unique_ptr<const References>>>
      all;
  const InlinedCopyTable& copies = InlinedCopyTable::Of(*image.symbols);
  const auto locked = all.Lock();
  std::unique_ptr<const References>& references = (*locked)[&copies];
  if (references == nullptr) {
    const ImagePin pin = LoadedImages::Pin(image);
    if (!pin.ok()) return {};
    references =
        std::make_unique<const References>(ReferenceReader(image).Read());
  }
  std::vector<const FunctionRecord*> users;
  for (const char* name : linkage_names) {
    const auto found = references->find(name);
    if (found == references->end()) continue;
    users.insert(users.end(), found->second.begin(), found->second.end());
  }
  return users;
}

}  // namespace code_internal
}  // namespace instar
