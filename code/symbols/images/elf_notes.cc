// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/images/elf_notes.h"

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

namespace instar {
namespace code_internal {
namespace {

// As tools/install/inlining.h writes it.
constexpr std::uint32_t kInlining = 1;

// What the first note of this owner and type says; none if there is no such.
std::optional<absl::string_view> FindNote(absl::string_view notes,
                                          absl::string_view owner,
                                          std::uint32_t type) {
  constexpr std::size_t kAlignment = 4;
  while (notes.size() >= sizeof(Elf64_Nhdr)) {
    Elf64_Nhdr note;
    std::memcpy(&note, notes.data(), sizeof(note));
    notes.remove_prefix(sizeof(note));
    const auto padded = [](std::size_t size) {
      return (size + kAlignment - 1) / kAlignment * kAlignment;
    };
    const std::size_t descriptor_at = padded(note.n_namesz);
    if (descriptor_at > notes.size() ||
        note.n_descsz > notes.size() - descriptor_at) {
      return std::nullopt;
    }
    if (note.n_type == type && note.n_namesz == owner.size() + 1 &&
        notes.substr(0, owner.size()) == owner && notes[owner.size()] == '\0') {
      return notes.substr(descriptor_at, note.n_descsz);
    }
    const std::size_t size = descriptor_at + padded(note.n_descsz);
    if (size > notes.size()) return std::nullopt;
    notes.remove_prefix(size);
  }
  return std::nullopt;
}

}  // namespace

absl::string_view BuildIdIn(absl::string_view notes) {
  return FindNote(notes, "GNU", NT_GNU_BUILD_ID).value_or("");
}

bool NotesInlining(absl::string_view notes) {
  return FindNote(notes, "Instar", kInlining).has_value();
}

}  // namespace code_internal
}  // namespace instar
