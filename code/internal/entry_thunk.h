// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The code behind an intercepted entry: the thunk (entry_thunk_x86_64.S), which
// the entry calls, and its handlers.

#ifndef INSTAR_CODE_INTERNAL_ENTRY_THUNK_H_
#define INSTAR_CODE_INTERNAL_ENTRY_THUNK_H_

#include <cstddef>
#include <cstdint>

#include "code/internal/entry_code.h"
#include "code/internal/entry_record.h"

namespace instar {
namespace code_internal {

// What instar_entry_thunk saved before it calls a handler; the layout is known
// to entry_thunk_x86_64.S.
struct ThunkFrame {
  uintptr_t r11, r10, r9, r8, rcx, rdx, rsi, rdi, rax;
  uintptr_t rbp;
  uintptr_t after_entry;     // entry + 5; the thunk returns to what is here
  uintptr_t return_address;  // into the caller
};
static_assert(offsetof(ThunkFrame, rbp) == 72);
static_assert(offsetof(ThunkFrame, after_entry) == 80);
static_assert(sizeof(ThunkFrame) - offsetof(ThunkFrame, after_entry) ==
              kEntrySlotBelowFrame);

extern "C" {

void instar_entry_thunk();

// Puts the function's current target into frame->after_entry, and returns
// whether instar_entry_slow() is to be called, with the vector registers saved.
// Uses general registers only.
bool instar_entry_fast(ThunkFrame* frame);

// Puts the function's current target into frame->after_entry: behind the slow
// path.
void instar_entry_look_up(ThunkFrame* frame);

// Calls the thread's interceptor, which may throw, and the gate. `saved` are
// rbx and r12 to r15.
void instar_entry_slow(const ThunkFrame* frame, const uintptr_t* saved);

// How the vector registers are saved: bytes of room, and the components of
// XSAVE (Intel SDM volume 1, chapter 13), 0 where there is only FXSAVE.
extern uint64_t instar_vector_state_size;
extern uint32_t instar_vector_state_mask;
}

// What a thread does when it enters an intercepted function. Only that thread
// and its signal handlers use it, so nothing here is atomic but `*wanted`,
// which is read without an order: whoever is called looks at more than that.
struct ThreadInterception {
  const void* interceptor;  // an EntryInterceptor, or null
  // Not null: it is called only while this is not zero. Written by others.
  const uint32_t* wanted;
  bool running;  // an interceptor or gate is being called
};
extern "C" __thread ThreadInterception instar_thread_interception
    __attribute__((tls_model("initial-exec")));

// Whether the thread's interceptor is to be called at this entry.
INSTAR_HANDLER_SAFE bool CallsInterceptor(const ThreadInterception& thread,
                                          const EntryRecord* record) {
  return thread.interceptor != nullptr &&
         (thread.wanted == nullptr ||
          __atomic_load_n(thread.wanted, __ATOMIC_RELAXED) != 0) &&
         __atomic_load_n(&record->interceptions, __ATOMIC_RELAXED) != 0;
}

// Finds out how vector registers are saved. Once, before the thunk is used.
void PrepareThunk();

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_INTERNAL_ENTRY_THUNK_H_
