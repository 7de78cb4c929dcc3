// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Which entries may be intercepted by who may throw: those of functions that
// all source files see. The callers of any other may have been compiled as if
// it threw nothing.

#ifndef INSTAR_CODE_INTERNAL_INTERCEPTABLE_ENTRIES_H_
#define INSTAR_CODE_INTERNAL_INTERCEPTABLE_ENTRIES_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "code/internal/entry_record.h"
#include "code/internal/patchable_entries.h"
#include "code/internal/text_patch.h"
#include "code/symbols/function.h"

namespace instar {
namespace code_internal {

using EntryRecords = std::vector<EntryRecord*>;

// Found, or made. Allocates.
EntryRecords RecordsOf(const CodeLock& lock,
                       const std::vector<uintptr_t>& entries);

// Error: FailedPrecondition, with the reason.
absl::Status CheckMayThrow(const Function& function);

// The entries of each image that may be intercepted, looked up once: reading
// the symbols of 10,000 entries takes longer than arming them.
//
// Threads: may be called from any thread; takes locks, CodeLock among them.
class InterceptableRecords {
 public:
  // Those of the image, by entry. It must be kept loaded.
  static std::shared_ptr<const EntryRecords> Of(const PatchableImage& image);

  // Forgets the images that are loaded no more.
  static void Retain(const PatchableEntries& loaded);
};

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_INTERNAL_INTERCEPTABLE_ENTRIES_H_
