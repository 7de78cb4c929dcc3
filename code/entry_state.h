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

#ifndef INSTAR_CODE_ENTRY_STATE_H_
#define INSTAR_CODE_ENTRY_STATE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "code/entry_record.h"
#include "code/patchable_entries.h"
#include "code/text_patch.h"

namespace instar {
namespace code_internal {

// One redirection of one entry. Owned by whoever redirected until it is in
// effect, then by the entry's record.
struct RedirectionLayer {
  uintptr_t target = 0;
  uintptr_t reach = 0;  // the target, or an island in front of it
  RedirectionLayer* below = nullptr;
};

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

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_ENTRY_STATE_H_
