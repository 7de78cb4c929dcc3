// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The jumps behind the slots of code/redefinable.h: code that goes on where a
// variable beside it says. It loads that with acquire order and changes no
// register but those that may change between a call and the function called.
//
// On x86-64 it is one instruction. On arm64 it is three, and a thread that is
// interrupted in between may have looked up a version and not begun it. So
// there is no unwind information for that code there: a walk of such a stack is
// not complete, and whoever needs that it is tries again.

#ifndef INSTAR_CODE_INTERNAL_SLOT_JUMPS_H_
#define INSTAR_CODE_INTERNAL_SLOT_JUMPS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace instar {
namespace code_internal {

// The first ones: in slot_jumps_<processor>.S, as many as here.
constexpr std::size_t kFirstSlotJumps = 4096;

#if defined(__x86_64__)

constexpr std::size_t kSlotJumpSize = 8;

// Writes a jump to `at` that leads through a variable which lies `distance`
// bytes behind it.
inline void EncodeSlotJump(char* at, std::size_t distance) {
  // jmp *displacement(%rip)
  constexpr unsigned char kJump[] = {0xff, 0x25};
  constexpr std::size_t kJumpEnd = 6;
  const auto displacement = static_cast<std::int32_t>(distance - kJumpEnd);
  std::memcpy(at, kJump, sizeof(kJump));
  std::memcpy(at + sizeof(kJump), &displacement, sizeof(displacement));
}

#elif defined(__aarch64__)

constexpr std::size_t kSlotJumpSize = 16;

// As above; less than 1 MiB.
inline void EncodeSlotJump(char* at, std::size_t distance) {
  const auto field = static_cast<std::uint32_t>(distance);
  const std::uint32_t code[] = {
      0x10000010 | (field & 3) << 29 | (field >> 2) << 5,  // adr x16, variable
      0xc8dffe10,                                          // ldar x16, [x16]
      0xd61f0200,                                          // br x16
      0xd503201f,                                          // nop
  };
  static_assert(sizeof(code) == kSlotJumpSize);
  std::memcpy(at, code, sizeof(code));
}

#else
#error "there are no slots on this processor yet"
#endif

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_INTERNAL_SLOT_JUMPS_H_
