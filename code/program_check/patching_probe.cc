// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/program_check/patching_probe.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "code/internal/entry_record.h"
#include "code/internal/entry_state.h"
#include "code/internal/other_threads.h"
#include "code/internal/patchable_entries.h"
#include "code/internal/text_patch.h"
#include "code/program_check/patching_probe_functions.h"

namespace instar {

using code_internal::CodeLock;
using code_internal::EntryChange;
using code_internal::EntryRecord;
using code_internal::PatchingProbe1;
using code_internal::PatchingProbe2;
using code_internal::RedirectionLayer;

namespace {

// Without that the compiler or a linker knows what is called.
int Call() {
  int (*volatile function)() = &PatchingProbe1;
  return function();
}

// Nobody else calls the function, so that no thread needs a trap.
absl::Status Write(const CodeLock& lock, EntryRecord* record,
                   const RedirectionLayer* layer) {
  EntryChange change;
  change.record = record;
  change.single_byte_no_ops = false;
  EncodeEntry(*record, 0, layer, change.bytes);
  return code_internal::WriteEntries(lock, &change, 1, OtherThreads::kHeld);
}

// What refuses a change at this moment says nothing of the next one.
absl::Status NotNow(const absl::Status& status) {
  return status.code() == absl::StatusCode::kFailedPrecondition
             ? absl::UnavailableError(status.message())
             : status;
}

absl::Status NoEffect() {
  return absl::FailedPreconditionError(
      "changes of code have no effect in this process: a function that was "
      "redirected went on as before. It seems to run under a translator "
      "(valgrind, qemu-user), which does not notice them; run it without");
}

}  // namespace

absl::Status ProbePatching() {
  const auto found = PatchableEntries::Current();
  if (!found.ok()) return NotNow(found.status());
  const auto& entries = *found;
  const auto entry = reinterpret_cast<uintptr_t>(&PatchingProbe1);
  const PatchableImage* const image = entries->ImageAt(entry);
  if (image == nullptr || !entries->Contains(entry)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "functions of this program cannot be redirected: a function of this "
        "library is not found in what is loaded, ",
        image == nullptr
            ? "so something hides what that is (a dl_iterate_phdr() of the "
              "program's own?)"
            : "so it was not compiled with the flags of updatable_cc_library "
              "(//tools:defs.bzl), or its unwind table (.eh_frame_hdr) was "
              "removed"));
  }
  CodeLock lock;
  INSTAR_RETURN_IF_ERROR(code_internal::PrepareToWriteCode(lock));
  RedirectionLayer layer;
  layer.target = reinterpret_cast<uintptr_t>(&PatchingProbe2);
  INSTAR_ASSIGN_OR_RETURN(layer.reach, ReachFrom(lock, *image, layer.target));
  EntryRecord* const record = code_internal::FindOrMakeEntryRecord(entry);
  if (IsChangedBySomebodyElse(lock, *record)) {
    return NotNow(ChangedBySomebodyElse(*record, "a function of this library"));
  }
  const int before = Call();
  INSTAR_RETURN_IF_ERROR(Write(lock, record, &layer));
  const int redirected = Call();
  INSTAR_RETURN_IF_ERROR(Write(lock, record, nullptr));
  const int after = Call();
  if (before != 1 || redirected != 2 || after != 1) return NoEffect();
  return absl::OkStatus();
}

}  // namespace instar
