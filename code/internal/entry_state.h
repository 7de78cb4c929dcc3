// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the five bytes of an entry are to be, and islands for what lies farther
// from it than 2 GiB.
//
// | interceptions alive | redirections | the five bytes               |
// |---------------------|--------------|------------------------------|
// | 0                   | none         | no-op                        |
// | 0                   | some         | jmp to the latest one's code |
// | 1 or more           | any          | call to the thunk            |
//
// With a call, the thunk finds the target in the record.

#ifndef INSTAR_CODE_INTERNAL_ENTRY_STATE_H_
#define INSTAR_CODE_INTERNAL_ENTRY_STATE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "code/internal/entry_record.h"
#include "code/internal/patchable_entries.h"
#include "code/internal/text_patch.h"

namespace instar {
namespace code_internal {

// One redirection of one entry. Owned by whoever redirected until it is in
// effect, then by the entry's record.
struct RedirectionLayer {
  uintptr_t target = 0;
  uintptr_t reach = 0;  // the target, or an island in front of it
  RedirectionLayer* below = nullptr;

  static void operator delete(void* memory, size_t size);  // base/wiped.h
};

// Grows with each change of an entry's past targets. Changed under the
// CodeLock, with release order; whoever reads it takes that lock before looking
// at targets, and so sees at least those that were counted.
extern std::atomic<std::uint64_t> past_target_changes;

// An address within reach of every entry of the image that leads to `target`:
// itself, or an island, a `jmp` in a page that is mapped near the image for
// them. Islands are never freed, since a thread may stand in one; there is one
// for each target and neighbourhood. Takes no lock but allocates.
absl::StatusOr<uintptr_t> ReachFrom(const CodeLock& lock,
                                    const PatchableImage& image,
                                    uintptr_t target);

// The bytes of the record's entry, by the table above, if it had this number of
// interceptions and this latest redirection.
void EncodeEntry(const EntryRecord& record, int armed,
                 const RedirectionLayer* layer, unsigned char* bytes);

// entry + 5 or the layer's target.
uintptr_t TargetOf(const EntryRecord& record, const RedirectionLayer* layer);

// Whether five one-byte no-ops stand at the entry, as the compiler puts them.
bool HasOneByteNoOps(const EntryRecord& record);

// Whether the entry has other bytes than the table above says: a uprobe or a
// debugger has changed it. False while it may have a trap of ours.
bool IsChangedBySomebodyElse(const CodeLock& lock, const EntryRecord& record);

// Whether that is an int3, as far as can be told.
bool HasBreakpoint(const EntryRecord& record);

// Whether the entry is a no-op though it ought to lead elsewhere, or one whose
// last four bytes are still those of the jump: what a uprobe leaves that was
// set on a redirected entry and removed.
bool HasLostItsChange(const EntryRecord& record);

// The error that says so of a function with this name, and what to do.
absl::Status ChangedBySomebodyElse(const EntryRecord& record,
                                   absl::string_view name);

// If somebody else's int3 stands at the entry, makes the four bytes behind it
// those of the no-op, which no thread executes meanwhile. When a uprobe is
// removed, the kernel puts the first byte of the *file* back: what was the rest
// of a jump would then be the rest of another instruction. Nothing is done
// while the process is traced: a debugger puts back what it found.
absl::Status MakeSafeBehindBreakpoint(const CodeLock& lock,
                                      const EntryRecord& record);

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_INTERNAL_ENTRY_STATE_H_
