// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <cpuid.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "code/entry_interception.h"
#include "code/internal/entry_record.h"
#include "code/internal/entry_thunk.h"

namespace instar {
namespace code_internal {

extern "C" {
uint64_t instar_vector_state_size = 512;
uint32_t instar_vector_state_mask = 0;
}

namespace {

// The components of XSAVE in which a caller may pass something: x87, SSE, AVX,
// and the three of AVX-512. (AMX tiles are 8 KiB and never parameters.)
constexpr uint32_t kComponents = 0xE7;
constexpr uint32_t kFirstExtended = 2;
constexpr uint32_t kLegacyAndHeader = 512 + 64;  // bytes

// Also when an exception leaves.
struct Running {
  Running() { instar_thread_interception.running = true; }
  ~Running() { instar_thread_interception.running = false; }
};

}  // namespace

void PrepareThunk() {
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_OSXSAVE) == 0) return;
  uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  uint64_t size = kLegacyAndHeader;
  for (uint32_t i = kFirstExtended; i < 32; ++i) {
    if ((low & kComponents & (1u << i)) == 0) continue;
    __cpuid_count(0xD, i, a, b, c, d);  // a: bytes, b: offset
    size = std::max<uint64_t>(size, a + b);
  }
  instar_vector_state_size = size;
  instar_vector_state_mask = low & kComponents;
}

extern "C" void instar_entry_slow(const ThunkFrame* frame,
                                  const uintptr_t* saved) {
  const int saved_errno = errno;
  const uintptr_t entry = frame->after_entry - kEntrySize;
  const EntryRecord* const record = FindEntryRecord(entry);
  {
    Running running;
    CallerRegisters caller;
    caller.return_address = frame->return_address;
    caller.stack_pointer = reinterpret_cast<uintptr_t>(frame + 1);
    caller.frame_pointer = frame->rbp;
    caller.rbx = saved[0];
    caller.r12 = saved[1];
    caller.r13 = saved[2];
    caller.r14 = saved[3];
    caller.r15 = saved[4];
    const InterceptedEntry intercepted(entry, caller);
    const ThreadInterception& thread = instar_thread_interception;
    if (CallsInterceptor(thread, record) && !RunsInSignalHandler()) {
      (*static_cast<const EntryInterceptor*>(thread.interceptor))(intercepted);
    }
    const EntryGate gate = __atomic_load_n(&record->gate, __ATOMIC_RELAXED);
    if (gate != nullptr) gate(intercepted);
  }
  errno = saved_errno;
}

}  // namespace code_internal

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t) &&
                  std::atomic<uint32_t>::is_always_lock_free,
              "the thunk reads it by a compiler builtin");

ScopedEntryInterceptor::ScopedEntryInterceptor(
    EntryInterceptor interceptor, const std::atomic<uint32_t>* wanted)
    : interceptor_(std::move(interceptor)),
      before_(static_cast<const EntryInterceptor*>(
          code_internal::instar_thread_interception.interceptor)),
      wanted_before_(code_internal::instar_thread_interception.wanted) {
  Set(&interceptor_, reinterpret_cast<const uint32_t*>(wanted));
}

ScopedEntryInterceptor::~ScopedEntryInterceptor() {
  Set(before_, wanted_before_);
}

void ScopedEntryInterceptor::Set(const EntryInterceptor* interceptor,
                                 const uint32_t* wanted) {
  code_internal::ThreadInterception& thread =
      code_internal::instar_thread_interception;
  // A signal handler that comes in between finds no interceptor.
  thread.interceptor = nullptr;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread.wanted = wanted;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread.interceptor = interceptor;
}

}  // namespace instar
