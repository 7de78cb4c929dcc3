// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The instruction by which code calls the system.
//
// Threads: any; async-signal-safe.

#ifndef INSTAR_BASE_SYSTEM_CALL_CODE_H_
#define INSTAR_BASE_SYSTEM_CALL_CODE_H_

#include <cstddef>
#include <cstdint>

namespace instar {

// Whether it stands at `code`, of which kSystemCallSize bytes can be read.
#if defined(__x86_64__)
constexpr std::size_t kSystemCallSize = 2;
__attribute__((no_sanitize("address"))) inline bool IsSystemCall(
    const unsigned char* code) {
  return code[0] == 0x0f && code[1] == 0x05;  // syscall
}
#elif defined(__aarch64__)
constexpr std::size_t kSystemCallSize = 4;
__attribute__((no_sanitize("address"))) inline bool IsSystemCall(
    const unsigned char* code) {
  return code[0] == 0x01 && code[1] == 0x00 && code[2] == 0x00 &&
         code[3] == 0xd4;  // svc #0
}
#else
#error "how this processor calls the system is not known here"
#endif

// Whether a thread whose program counter is `pc` was stopped in a system call:
// just behind the instruction, or before it if the kernel is going to begin the
// call again.
inline bool IsAtSystemCall(std::uintptr_t pc) {
  const auto* const code = reinterpret_cast<const unsigned char*>(pc);
  return IsSystemCall(code - kSystemCallSize) || IsSystemCall(code);
}

}  // namespace instar

#endif  // INSTAR_BASE_SYSTEM_CALL_CODE_H_
