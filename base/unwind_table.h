// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Finds the unwind information (.eh_frame) of a program counter.
//
//   UnwindEntry entry;
//   if (FindUnwindEntry(pc, &entry) == UnwindLookup::kFound) {
//     // entry.start, entry.end, entry.language_data, ...
//   }
//
// For a return address, ask with the address minus one: the call may be the
// last instruction of its function.
//
// Code that a program registered by __register_frame (a just-in-time compiler)
// is not found: it counts as unknown code.
//
// Threads: any. Lock-free and async-signal-safe: _dl_find_object of glibc 2.35
// takes no lock, and nothing is allocated. What an entry points to is valid
// while the object that holds `pc` stays loaded.
// Source: Linux Standard Base Core, section "Exception Frames".

#ifndef INSTAR_BASE_UNWIND_TABLE_H_
#define INSTAR_BASE_UNWIND_TABLE_H_

#include <cstdint>

namespace instar {

struct UnwindEntry {
  // The record itself (FDE).
  std::uintptr_t description;
  // The code that the entry describes: [start, end).
  std::uintptr_t start;
  std::uintptr_t end;
  // Call frame instructions: the common ones, then the entry's own.
  std::uintptr_t initial_instructions;
  std::uintptr_t initial_instructions_end;
  std::uintptr_t instructions;
  std::uintptr_t instructions_end;
  std::uint64_t code_alignment;
  std::int64_t data_alignment;
  std::uint64_t return_address_register;
  std::uint8_t pointer_encoding;
  // The routine that interprets `language_data` when an exception passes, or 0.
  std::uintptr_t personality;
  // The language-specific data area (LSDA), or 0.
  std::uintptr_t language_data;
  // The frame was made by the kernel to run a signal handler: it was
  // interrupted, not called.
  bool is_signal_frame;
};

enum class UnwindLookup {
  kFound,
  kUnknownCode,  // no loaded object holds the address
  kNoEntry,      // its object has no unwind information for it
};

UnwindLookup FindUnwindEntry(std::uintptr_t pc, UnwindEntry* entry);

}  // namespace instar

#endif  // INSTAR_BASE_UNWIND_TABLE_H_
