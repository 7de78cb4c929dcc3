// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/unwind_table.h"

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>

#include "base/dwarf_reader.h"

namespace instar {
namespace {

// A row of the sorted table in .eh_frame_hdr, relative to its start.
struct TableRow {
  std::int32_t start;
  std::int32_t description;
};

constexpr std::uint8_t kTableEncoding = kPointerDataRelative | kPointerSdata4;

// The frame description whose code begins last among those that begin at or
// before `pc`, or 0.
std::uintptr_t FindDescription(std::uintptr_t header, std::uintptr_t pc) {
  DwarfReader reader(header, DwarfReader::kNoEnd);
  const std::uint8_t version = reader.Byte();
  const std::uint8_t frame_encoding = reader.Byte();
  const std::uint8_t count_encoding = reader.Byte();
  const std::uint8_t table_encoding = reader.Byte();
  if (version != 1 || count_encoding == kPointerOmitted ||
      table_encoding != kTableEncoding) {
    return 0;
  }
  reader.Pointer(frame_encoding, header);
  const std::size_t count = reader.Pointer(count_encoding, header);
  if (!reader.ok() || count == 0) return 0;
  const auto* rows = reinterpret_cast<const TableRow*>(reader.at());
  const auto start = [&](std::size_t row) {
    return header + static_cast<std::uintptr_t>(std::int64_t{rows[row].start});
  };
  if (pc < start(0)) return 0;
  std::size_t low = 0;
  std::size_t high = count;
  while (high - low > 1) {
    const std::size_t middle = low + (high - low) / 2;
    if (start(middle) <= pc) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return header +
         static_cast<std::uintptr_t>(std::int64_t{rows[low].description});
}

// Reads the length that precedes a record; `*end` becomes its end. False if it
// is the terminator or in the 64-bit format, which no x86-64 tool writes.
bool ReadLength(DwarfReader* reader, std::uintptr_t* end) {
  const std::uint32_t length = reader->Fixed<std::uint32_t>();
  if (length == 0 || length == 0xffffffffu) return false;
  *end = reader->at() + length;
  return true;
}

struct Augmentation {
  bool has_data = false;
  std::uint8_t language_data_encoding = kPointerOmitted;
};

// The common information entry (CIE).
bool ParseCommon(std::uintptr_t address, UnwindEntry* entry,
                 Augmentation* augmentation) {
  DwarfReader start(address, DwarfReader::kNoEnd);
  std::uintptr_t end;
  if (!ReadLength(&start, &end)) return false;
  DwarfReader reader(start.at(), end);
  if (reader.Fixed<std::uint32_t>() != 0) return false;
  const std::uint8_t version = reader.Byte();
  if (version != 1 && version != 3) return false;
  char letters[8];
  std::size_t count = 0;
  while (true) {
    const char letter = static_cast<char>(reader.Byte());
    if (letter == 0) break;
    if (count == sizeof(letters)) return false;
    letters[count++] = letter;
  }
  entry->code_alignment = reader.Uleb128();
  entry->data_alignment = reader.Sleb128();
  entry->return_address_register =
      version == 1 ? reader.Byte() : reader.Uleb128();
  entry->pointer_encoding = kPointerAbsolute;
  entry->personality = 0;
  entry->is_signal_frame = false;
  std::uintptr_t instructions = 0;
  for (std::size_t i = 0; i < count; ++i) {
    switch (letters[i]) {
      case 'z': {
        if (i != 0) return false;
        const std::uint64_t size = reader.Uleb128();
        instructions = reader.at() + size;
        augmentation->has_data = true;
        break;
      }
      case 'L':
        augmentation->language_data_encoding = reader.Byte();
        break;
      case 'P': {
        const std::uint8_t encoding = reader.Byte();
        entry->personality = reader.Pointer(encoding);
        break;
      }
      case 'R':
        entry->pointer_encoding = reader.Byte();
        break;
      case 'S':
        entry->is_signal_frame = true;
        break;
      default:
        // A letter that is not known: its data can be skipped only if its size
        // was given.
        if (instructions == 0) return false;
        i = count;
    }
  }
  if (!reader.ok()) return false;
  entry->initial_instructions = instructions != 0 ? instructions : reader.at();
  entry->initial_instructions_end = end;
  return entry->initial_instructions <= end;
}

// The frame description entry (FDE).
bool ParseDescription(std::uintptr_t address, UnwindEntry* entry) {
  DwarfReader start(address, DwarfReader::kNoEnd);
  std::uintptr_t end;
  if (!ReadLength(&start, &end)) return false;
  DwarfReader reader(start.at(), end);
  const std::uintptr_t here = reader.at();
  const std::uint32_t distance = reader.Fixed<std::uint32_t>();
  if (distance == 0) return false;
  Augmentation augmentation;
  if (!ParseCommon(here - distance, entry, &augmentation)) return false;
  entry->start = reader.Pointer(entry->pointer_encoding);
  entry->end = entry->start +
               reader.Pointer(entry->pointer_encoding & kPointerFormatMask);
  entry->language_data = 0;
  if (augmentation.has_data) {
    const std::uint64_t size = reader.Uleb128();
    const std::uintptr_t instructions = reader.at() + size;
    if (augmentation.language_data_encoding != kPointerOmitted && size != 0) {
      entry->language_data =
          reader.Pointer(augmentation.language_data_encoding);
    }
    if (!reader.ok()) return false;
    reader = DwarfReader(instructions, end);
  }
  entry->instructions = reader.at();
  entry->instructions_end = end;
  return reader.ok() && entry->instructions <= end;
}

}  // namespace

UnwindLookup FindUnwindEntry(std::uintptr_t pc, UnwindEntry* entry) {
  dl_find_object object;
  if (_dl_find_object(reinterpret_cast<void*>(pc), &object) != 0) {
    return UnwindLookup::kUnknownCode;
  }
  if (object.dlfo_eh_frame == nullptr) return UnwindLookup::kNoEntry;
  const std::uintptr_t description = FindDescription(
      reinterpret_cast<std::uintptr_t>(object.dlfo_eh_frame), pc);
  if (description == 0 || !ParseDescription(description, entry) ||
      pc < entry->start || pc >= entry->end) {
    return UnwindLookup::kNoEntry;
  }
  entry->description = description;
  return UnwindLookup::kFound;
}

}  // namespace instar
