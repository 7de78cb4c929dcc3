// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Of a computation that a signal has interrupted, or that swapcontext() has
// paused: the registers from which its frames are unwound.

#ifndef INSTAR_BASE_LINUX_THREAD_REGISTERS_H_
#define INSTAR_BASE_LINUX_THREAD_REGISTERS_H_

#include <ucontext.h>

#include <cstdint>

namespace instar {

struct ThreadRegisters {
  std::uintptr_t pc;  // program counter
  std::uintptr_t sp;  // stack pointer
  std::uintptr_t fp;  // frame pointer
  // Where the function returns to that has saved that nowhere (x30 of arm64);
  // 0 on processors that always have it on the stack.
  std::uintptr_t link;
};

// Async-signal-safe.
inline ThreadRegisters RegistersOf(const ucontext_t& context) {
  const mcontext_t& machine = context.uc_mcontext;
#if defined(__x86_64__)
  const auto at = [&](int which) {
    return static_cast<std::uintptr_t>(machine.gregs[which]);
  };
  return {at(REG_RIP), at(REG_RSP), at(REG_RBP), 0};
#elif defined(__aarch64__)
  return {static_cast<std::uintptr_t>(machine.pc),
          static_cast<std::uintptr_t>(machine.sp),
          static_cast<std::uintptr_t>(machine.regs[29]),
          static_cast<std::uintptr_t>(machine.regs[30])};
#else
#error "where this processor keeps its registers is not known here"
#endif
}

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_THREAD_REGISTERS_H_
