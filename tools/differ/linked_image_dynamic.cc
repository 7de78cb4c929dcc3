// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What other images know of a shared object, and what the dynamic linker binds
// in it.

#include <elf.h>

#include <algorithm>
#include <cstdint>
#include <optional>

#include "tools/differ/linked_image.h"

namespace instar {
namespace differ {

void LinkedImage::ReadDynamicSymbols() {
  for (const Elf64_Dyn& entry : elf_.DynamicEntries()) {
    const bool has_flags = entry.d_tag == DT_FLAGS;
    is_symbolic_ = is_symbolic_ || entry.d_tag == DT_SYMBOLIC ||
                   (has_flags && (entry.d_un.d_val & DF_SYMBOLIC) != 0);
    is_bound_now_ =
        is_bound_now_ || entry.d_tag == DT_BIND_NOW ||
        (has_flags && (entry.d_un.d_val & DF_BIND_NOW) != 0) ||
        (entry.d_tag == DT_FLAGS_1 && (entry.d_un.d_val & DF_1_NOW) != 0);
  }
  const Section* versions = elf_.FindSection(".gnu.version");
  absl::flat_hash_set<absl::string_view> undefined;
  for (const Symbol& symbol : elf_.dynamic_symbols()) {
    if (symbol.section == kUndefined) {
      if (!undefined.insert(symbol.name).second) ambiguous_.insert(symbol.name);
      continue;
    }
    // One of an old version, which nobody who is linked now gets by this name.
    constexpr std::uint16_t kHidden = 0x8000;
    const auto version =
        versions == nullptr
            ? std::nullopt
            : ReadAt<std::uint16_t>(versions->bytes, 2 * symbol.index);
    if (version && (*version & kHidden) != 0) {
      ambiguous_.insert(symbol.name);
      continue;
    }
    globals_.emplace(symbol.name, &symbol);
    if (symbol.visibility == STV_DEFAULT && !symbol.is_local()) {
      exported_.insert(symbol.name);
    }
  }
}

void LinkedImage::ReadSlot(const Elf64_Rela& entry) {
  const std::uint32_t type = ELF64_R_TYPE(entry.r_info);
  if (type != R_X86_64_GLOB_DAT && type != R_X86_64_JUMP_SLOT &&
      type != R_X86_64_64) {
    return;
  }
  const std::uint64_t index = ELF64_R_SYM(entry.r_info);
  const std::vector<Symbol>& symbols = elf_.dynamic_symbols();
  if (index >= symbols.size() || symbols[index].name.empty()) return;
  // What the program can write may have another value by now.
  const auto is_read_only = [&] {
    return std::any_of(elf_.segments().begin(), elf_.segments().end(),
                       [&](const Elf64_Phdr& segment) {
                         return segment.p_type == PT_GNU_RELRO &&
                                entry.r_offset >= segment.p_vaddr &&
                                entry.r_offset - segment.p_vaddr + 8 <=
                                    segment.p_memsz;
                       });
  };
  if (type == R_X86_64_64 && (entry.r_addend != 0 || !is_read_only())) return;
  const Slot slot = {entry.r_offset,
                     type != R_X86_64_JUMP_SLOT || is_bound_now_};
  const auto inserted = slots_.emplace(symbols[index].name, slot);
  if (slot.is_address) inserted.first->second = slot;
}

const LinkedImage::Slot* LinkedImage::FindSlot(absl::string_view name) const {
  const auto found = slots_.find(name);
  return found == slots_.end() || ambiguous_.contains(name) ? nullptr
                                                            : &found->second;
}

}  // namespace differ
}  // namespace instar
