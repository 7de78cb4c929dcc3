// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What entries were ever redirected to: for stacks, on which activations of it
// may be, and for images that are to be unloaded.

#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "code/function_entry.h"
#include "code/internal/entry_record.h"
#include "code/internal/entry_state.h"
#include "code/internal/patchable_entries.h"
#include "code/internal/text_patch.h"

namespace instar {

using code_internal::CodeLock;
using code_internal::EntryRecord;
using code_internal::past_target_changes;
using code_internal::PastTarget;
using code_internal::RedirectionLayer;

namespace {

bool IsIn(uintptr_t address, uintptr_t begin, uintptr_t end) {
  return begin <= address && address < end;
}

// Calls visit(record) for each; under CodeLock.
template <typename Visitor>
void ForEachRecord(const CodeLock&, Visitor visit) {
  code_internal::ForEachEntryRecord(
      [](EntryRecord& record, void* visitor) {
        (*static_cast<Visitor*>(visitor))(record);
      },
      &visit);
}

}  // namespace

std::uint64_t RedirectionTargetCount() {
  return past_target_changes.load(std::memory_order_acquire);
}

WipedVector<uintptr_t> AllRedirectionTargets(const Function& function) {
  return AllRedirectionTargets(absl::MakeConstSpan(&function, 1))[0];
}

std::vector<WipedVector<uintptr_t>> AllRedirectionTargets(
    absl::Span<const Function> functions) {
  std::vector<WipedVector<uintptr_t>> all(functions.size());
  CodeLock lock;
  for (size_t i = 0; i < functions.size(); ++i) {
    const EntryRecord* const record =
        code_internal::FindEntryRecord(functions[i].entry());
    if (record == nullptr) continue;
    for (const PastTarget* past = record->past_targets; past != nullptr;
         past = past->next) {
      all[i].push_back(past->target);
    }
  }
  return all;
}

absl::Status CheckUnused(uintptr_t begin, uintptr_t end) {
  int count = 0;
  const CodeLock lock;
  ForEachRecord(lock, [&](EntryRecord& record) {
    const bool is_of_it = IsIn(record.entry, begin, end);
    bool is_used = is_of_it && record.armed > 0;
    for (const RedirectionLayer* layer = record.layers; layer != nullptr;
         layer = layer->below) {
      is_used = is_used || is_of_it || IsIn(layer->target, begin, end);
    }
    count += is_used;
  });
  if (count == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(count, count == 1 ? " function is" : " functions are",
                   " redirected to it, or redirected or intercepted in it"));
}

std::vector<std::pair<uintptr_t, uintptr_t>> MemoryAbout(uintptr_t begin,
                                                         uintptr_t end) {
  std::vector<std::pair<uintptr_t, uintptr_t>> memory;
  const auto add = [&](const auto& object) {
    const auto at = reinterpret_cast<uintptr_t>(&object);
    memory.emplace_back(at, at + sizeof(object));
  };
  const auto entries = PatchableEntries::Current();
  const CodeLock lock;
  if (entries.ok()) {
    const PatchableImage* const image = (*entries)->ImageAt(begin);
    if (image != nullptr) {
      const auto at = reinterpret_cast<uintptr_t>(image->entries.data());
      memory.emplace_back(at, at + image->entries.size() * sizeof(uintptr_t));
    }
  }
  ForEachRecord(lock, [&](EntryRecord& record) {
    if (IsIn(record.entry, begin, end)) add(record);
    for (const PastTarget* past = record.past_targets; past != nullptr;
         past = past->next) {
      if (IsIn(past->target, begin, end)) add(*past);
    }
  });
  return memory;
}

void ForgetImage(uintptr_t begin, uintptr_t end) {
  const CodeLock lock;
  ForEachRecord(lock, [&](EntryRecord& record) {
    const bool is_of_it = IsIn(record.entry, begin, end);
    PastTarget** link = &record.past_targets;
    while (PastTarget* const past = *link) {
      if (is_of_it || IsIn(past->target, begin, end)) {
        *link = past->next;
        delete past;
      } else {
        link = &past->next;
      }
    }
    // Another image may come to lie there, elsewhere from its islands.
    if (is_of_it) record.thunk = 0;
  });
  // What was answered before holds no more.
  past_target_changes.fetch_add(1, std::memory_order_release);
}

}  // namespace instar
