// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/internal/entry_record.h"

#include <deque>

#include "base/wiped.h"

namespace instar {
namespace code_internal {
namespace {

constexpr uint64_t kFirstCapacity = 1024;

uint64_t g_count = 0;

// Never destroyed: handlers may run while the process ends.
std::deque<EntryRecord>& Records() {
  static auto& records = *new std::deque<EntryRecord>();
  return records;
}

// At most half of a table's slots are in use, so that a search ends soon.
void Insert(const EntryTable& table, EntryRecord* record) {
  uint64_t i = EntrySlot(record->entry) & table.mask;
  while (table.slots[i] != nullptr) i = (i + 1) & table.mask;
  // Pairs with the load in FindEntryRecord(): whoever finds the record sees its
  // fields.
  __atomic_store_n(&table.slots[i], record, __ATOMIC_RELEASE);
}

void Grow() {
  const EntryTable* const old = instar_entry_table;
  const uint64_t capacity =
      old == nullptr ? kFirstCapacity : 2 * (old->mask + 1);
  auto* const table =
      new EntryTable{capacity - 1, old, new EntryRecord*[capacity]()};
  for (EntryRecord& record : Records()) Insert(*table, &record);
  __atomic_store_n(&instar_entry_table, table, __ATOMIC_RELEASE);
}

}  // namespace

extern "C" {
const EntryTable* instar_entry_table = nullptr;
}

void PastTarget::operator delete(void* memory, size_t size) {
  WipeAndFree(memory, size);
}

EntryRecord* FindOrMakeEntryRecord(uintptr_t entry) {
  if (EntryRecord* const record = FindEntryRecord(entry)) return record;
  if (instar_entry_table == nullptr ||
      2 * (g_count + 1) > instar_entry_table->mask) {
    Grow();
  }
  EntryRecord& record = Records().emplace_back();
  record.entry = entry;
  record.target = entry + kEntrySize;
  ++g_count;
  Insert(*instar_entry_table, &record);
  return &record;
}

void ForEachEntryRecord(void (*visit)(EntryRecord& record, void* argument),
                        void* argument) {
  for (EntryRecord& record : Records()) visit(record, argument);
}

}  // namespace code_internal
}  // namespace instar
