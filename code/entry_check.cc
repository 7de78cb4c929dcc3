// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/entry_check.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "code/internal/entry_record.h"
#include "code/internal/entry_state.h"
#include "code/internal/other_threads.h"
#include "code/internal/text_patch.h"
#include "code/symbols/function.h"

namespace instar {

using code_internal::CodeLock;
using code_internal::EntryChange;
using code_internal::EntryRecord;

namespace {

struct Check {
  const CodeLock& lock;
  std::vector<ChangedEntry>& changed;
};

// Writes the entry as it ought to be, unless a breakpoint stands there.
absl::Status Restore(const CodeLock& lock, EntryRecord& record) {
  EntryChange change;
  change.record = &record;
  change.single_byte_no_ops = code_internal::HasOneByteNoOps(record);
  EncodeEntry(record, record.armed, record.layers, change.bytes);
  return code_internal::WriteEntries(lock, &change, 1, OtherThreads::kRunning);
}

void CheckEntry(EntryRecord& record, void* argument) {
  const auto& [lock, all] = *static_cast<Check*>(argument);
  if (record.layers == nullptr ||
      !code_internal::IsChangedBySomebodyElse(lock, record)) {
    return;
  }
  ChangedEntry& changed = all.emplace_back();
  changed.entry = record.entry;
  if (code_internal::HasBreakpoint(record)) {
    const absl::Status safe =
        code_internal::MakeSafeBehindBreakpoint(lock, record);
    if (!safe.ok()) changed.error = std::string(safe.message());
  } else if (code_internal::HasLostItsChange(record)) {
    const absl::Status restored = Restore(lock, record);
    changed.is_restored = restored.ok();
    if (!restored.ok()) changed.error = std::string(restored.message());
  }
}

}  // namespace

std::string ChangedEntry::ToString() const {
  std::string text =
      is_restored
          ? absl::StrCat(function,
                         " ran old code for a while: its entry was changed by "
                         "somebody else, by a probe, which is gone; it leads "
                         "to the new code again")
          : absl::StrCat(function,
                         " runs old code: its entry was changed by somebody "
                         "else; remove the probe (perf, bpftrace) or the "
                         "breakpoint that was set on it");
  if (!error.empty()) absl::StrAppend(&text, " (", error, ")");
  return text;
}

std::vector<ChangedEntry> CheckRedirectedEntries() {
  std::vector<ChangedEntry> changed;
  {
    CodeLock lock;
    Check check{lock, changed};
    code_internal::ForEachEntryRecord(&CheckEntry, &check);
  }
  // Not under the lock: this reads symbols, and takes locks of its own.
  for (ChangedEntry& entry : changed) {
    const auto function = Function::AtEntry(entry.entry);
    entry.function = function.ok()
                         ? function->name()
                         : absl::StrFormat("the function at %#x", entry.entry);
  }
  return changed;
}

}  // namespace instar
