// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Tells AddressSanitizer and ThreadSanitizer of stacks and of switches between
// them. Without a sanitizer all of this compiles to nothing.

#ifndef INSTAR_CONTINUATION_INTERNAL_SANITIZERS_H_
#define INSTAR_CONTINUATION_INTERNAL_SANITIZERS_H_

#include <cstddef>
#include <cstdint>

#include "absl/base/attributes.h"
#include "absl/base/config.h"

#ifdef ABSL_HAVE_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef ABSL_HAVE_THREAD_SANITIZER
#include <sanitizer/tsan_interface.h>
#endif

namespace instar {
namespace continuation_internal {

// A stack as the sanitizers see it: each computation (the thread's own, or a
// continulet's) has one. Starts zeroed.
struct SanitizerFiber {
#ifdef ABSL_HAVE_ADDRESS_SANITIZER
  void* fake_stack;  // AddressSanitizer's, while it is switched away
#endif
#ifdef ABSL_HAVE_THREAD_SANITIZER
  void* tsan_fiber;
#endif
};

// From here on the memory [low, high) may be used as a stack.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void AllowAccess(
    [[maybe_unused]] std::uintptr_t low, [[maybe_unused]] std::uintptr_t high) {
#ifdef ABSL_HAVE_ADDRESS_SANITIZER
  __asan_unpoison_memory_region(reinterpret_cast<void*>(low), high - low);
#endif
}

// The memory [low, high) waits in a pool: to use it is an error.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void ForbidAccess(
    [[maybe_unused]] std::uintptr_t low, [[maybe_unused]] std::uintptr_t high) {
#ifdef ABSL_HAVE_ADDRESS_SANITIZER
  __asan_poison_memory_region(reinterpret_cast<void*>(low), high - low);
#endif
}

// Makes `fiber` stand for the calling thread's own stack.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void AdoptThreadFiber(
    [[maybe_unused]] SanitizerFiber* fiber) {
#ifdef ABSL_HAVE_THREAD_SANITIZER
  fiber->tsan_fiber = __tsan_get_current_fiber();
#endif
}

ABSL_ATTRIBUTE_ALWAYS_INLINE inline void CreateFiber(
    [[maybe_unused]] SanitizerFiber* fiber) {
#ifdef ABSL_HAVE_THREAD_SANITIZER
  fiber->tsan_fiber = __tsan_create_fiber(0);
#endif
}

ABSL_ATTRIBUTE_ALWAYS_INLINE inline void DestroyFiber(
    [[maybe_unused]] SanitizerFiber* fiber) {
#ifdef ABSL_HAVE_THREAD_SANITIZER
  __tsan_destroy_fiber(fiber->tsan_fiber);
  fiber->tsan_fiber = nullptr;
#endif
}

// To be called right before a switch from `from` to `to`, whose stack is
// [low, high). `from` is null if it will never be switched to again.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void BeforeSwitch(
    [[maybe_unused]] SanitizerFiber* from, [[maybe_unused]] SanitizerFiber* to,
    [[maybe_unused]] std::uintptr_t low, [[maybe_unused]] std::uintptr_t high) {
#ifdef ABSL_HAVE_ADDRESS_SANITIZER
  __sanitizer_start_switch_fiber(from == nullptr ? nullptr : &from->fake_stack,
                                 reinterpret_cast<void*>(low), high - low);
#endif
#ifdef ABSL_HAVE_THREAD_SANITIZER
  __tsan_switch_to_fiber(to->tsan_fiber, 0);
#endif
}

// To be called first thing after a switch, on the stack of `arrived`.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void AfterSwitch(
    [[maybe_unused]] SanitizerFiber* arrived) {
#ifdef ABSL_HAVE_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(arrived->fake_stack, nullptr, nullptr);
#endif
}

}  // namespace continuation_internal
}  // namespace instar

#endif  // INSTAR_CONTINUATION_INTERNAL_SANITIZERS_H_
