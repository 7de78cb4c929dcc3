// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What is known of each function entry that was ever changed: one record an
// entry, found by its address without a lock, never moved and never freed.
//
// A signal handler and the thunk of //code:entry_interception read it, on
// threads that may be anywhere, in the middle of a patch, without vector
// registers. So FindEntryRecord() calls nothing, and consists of plain types
// and compiler builtins: a member function of std::atomic is an inline function
// of which the linker keeps one copy, and that copy may be an updatable one
// whose entry is just being patched.
//
// Threads: FindEntryRecord() from any thread and any signal handler. Records
// are made under CodeLock (code/internal/text_patch.h).

#ifndef INSTAR_CODE_INTERNAL_ENTRY_RECORD_H_
#define INSTAR_CODE_INTERNAL_ENTRY_RECORD_H_

#include <cstddef>
#include <cstdint>

namespace instar {

class InterceptedEntry;  // code/entry_interception.h

namespace code_internal {

// The bytes of a patchable entry: one five-byte no-op, `jmp rel32` or
// `call rel32`.
inline constexpr size_t kEntrySize = 5;

struct RedirectionLayer;  // code/internal/entry_state.h

// What an entry was redirected to at some time. In a record for as long as the
// image of the target is loaded.
struct PastTarget {
  uintptr_t target;
  PastTarget* next;

  static void operator delete(void* memory, size_t size);  // base/wiped.h
};

struct EntryRecord {
  // Of the first of the five bytes. Constant.
  uintptr_t entry = 0;

  // Where the function leads now: entry + 5, or the function that it was
  // redirected to. Atomic. Stored under CodeLock with release order, read by
  // the thunk with acquire order: a thread that leaves the thunk for a new
  // version sees what was done before the redirection.
  uintptr_t target = 0;

  // While the entry's first byte may be a trap: where a thread that runs into
  // it continues. Otherwise 0. Atomic. Stored with release order before the
  // trap is written, cleared after it is gone and all cores have noticed; the
  // trap handler relies on both orders (code/internal/trap_handler.cc).
  uintptr_t trap_resume = 0;

  // How many interceptions that call the threads' interceptors cover it, and
  // who is called by every thread besides, or null. Atomic, read by the thunk.
  // Stored under CodeLock without an order: they only decide whether something
  // is called, and what is called synchronizes by itself.
  uint32_t interceptions = 0;
  void (*gate)(const InterceptedEntry&) = nullptr;

  // The rest is read and written under CodeLock.

  // The redirections in effect, latest first.
  RedirectionLayer* layers = nullptr;
  // While a change is being checked: what `layers` would be, if it is changed.
  RedirectionLayer* planned = nullptr;
  bool has_plan = false;
  // All that there ever were, each once, the one that came last first.
  PastTarget* past_targets = nullptr;
  // The address, within 2 GiB of the entry, from which the interception thunk
  // is reached, or 0.
  uintptr_t thunk = 0;
  // The number of interceptions that are alive and cover this entry, and how
  // many of them have a gate.
  int armed = 0;
  int gates = 0;
};

// Open addressing; a slot is null or a record. `previous` is the smaller table
// that this one replaced: readers may still be looking into it.
struct EntryTable {
  uint64_t mask;
  const EntryTable* previous;
  EntryRecord** slots;
};

// Published with release order, paired with the load in FindEntryRecord():
// whoever sees a table sees its slots.
extern "C" const EntryTable* instar_entry_table;

#define INSTAR_HANDLER_SAFE static inline __attribute__((always_inline, unused))

INSTAR_HANDLER_SAFE uint64_t EntrySlot(uintptr_t entry) {
  return (static_cast<uint64_t>(entry) * 0x9E3779B97F4A7C15u) >> 32;
}

// The record of the entry, or null.
INSTAR_HANDLER_SAFE EntryRecord* FindEntryRecord(uintptr_t entry) {
  const EntryTable* const table =
      __atomic_load_n(&instar_entry_table, __ATOMIC_ACQUIRE);
  if (table == nullptr) return nullptr;
  for (uint64_t i = EntrySlot(entry) & table->mask;;
       i = (i + 1) & table->mask) {
    EntryRecord* const record =
        __atomic_load_n(&table->slots[i], __ATOMIC_ACQUIRE);
    if (record == nullptr || record->entry == entry) return record;
  }
}

// Finds the entry's record or makes one, which leads to entry + 5. Under
// CodeLock; allocates.
EntryRecord* FindOrMakeEntryRecord(uintptr_t entry);

// Calls visit(record, argument) for each record, in the order in which they
// were made. Under CodeLock.
void ForEachEntryRecord(void (*visit)(EntryRecord& record, void* argument),
                        void* argument);

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_INTERNAL_ENTRY_RECORD_H_
