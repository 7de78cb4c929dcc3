// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What every entry into an intercepted function runs: with general registers
// only, without a call, and without an inline function of which the linker
// might keep an updatable copy. BUILD has the compiler flags.

#include "code/entry_record.h"
#include "code/entry_thunk.h"

namespace instar {
namespace code_internal {

extern "C" {

__thread ThreadInterception instar_thread_interception
    __attribute__((tls_model("initial-exec"))) = {nullptr, nullptr, false};

bool instar_entry_fast(ThunkFrame* frame) {
  // Intercepted entries have a record; it is there before the call to the thunk
  // is.
  const EntryRecord* const record =
      FindEntryRecord(frame->after_entry - kEntrySize);
  if (__builtin_expect(
          (CallsInterceptor(instar_thread_interception, record) ||
           __atomic_load_n(&record->keeper, __ATOMIC_RELAXED) != nullptr) &&
              !instar_thread_interception.running,
          0)) {
    return true;
  }
  // Pairs with the store in Redirection, code/function_entry.cc.
  frame->after_entry = __atomic_load_n(&record->target, __ATOMIC_ACQUIRE);
  return false;
}
}

}  // namespace code_internal
}  // namespace instar
