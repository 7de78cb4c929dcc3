// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What every entry into an intercepted function runs: with general registers
// only, without a call, and without an inline function of which the linker
// might keep an updatable copy. BUILD has the compiler flags.

#include "code/internal/entry_record.h"
#include "code/internal/entry_thunk.h"

namespace instar {
namespace code_internal {

extern "C" {

extern const char __start_instar_entry[] __attribute__((visibility("hidden")));
extern const char __stop_instar_entry[] __attribute__((visibility("hidden")));

const EntryCode instar_entry_code = {__start_instar_entry, __stop_instar_entry};

__thread ThreadInterception instar_thread_interception
    __attribute__((tls_model("initial-exec"))) = {nullptr, nullptr, false};

INSTAR_ENTRY_CODE bool instar_entry_fast(ThunkFrame* frame) {
  // Intercepted entries have a record; it is there before the call to the thunk
  // is.
  const EntryRecord* const record =
      FindEntryRecord(frame->after_entry - kEntrySize);
  if (__builtin_expect(
          (CallsInterceptor(instar_thread_interception, record) ||
           __atomic_load_n(&record->gate, __ATOMIC_RELAXED) != nullptr) &&
              !instar_thread_interception.running,
          0)) {
    return true;
  }
  // Pairs with the store in Redirection, code/function_entry.cc.
  frame->after_entry = __atomic_load_n(&record->target, __ATOMIC_ACQUIRE);
  return false;
}

INSTAR_ENTRY_CODE void instar_entry_look_up(ThunkFrame* frame) {
  const EntryRecord* const record =
      FindEntryRecord(frame->after_entry - kEntrySize);
  // As above.
  frame->after_entry = __atomic_load_n(&record->target, __ATOMIC_ACQUIRE);
}
}

}  // namespace code_internal
}  // namespace instar
