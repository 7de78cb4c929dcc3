// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The stubs of a procedure linkage table, x86-64: an optional endbr64, an
// optional bnd prefix, jmp *slot(%rip).
//
// Threads: any; async-signal-safe.

#ifndef INSTAR_BASE_LINKAGE_STUB_H_
#define INSTAR_BASE_LINKAGE_STUB_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace instar {

// No stub is longer.
constexpr std::size_t kLinkageStubSize = 11;

// The address of the slot through which the stub jumps that stands at `address`
// and whose code is `code`, of which kLinkageStubSize bytes can be read; 0 if
// none stands there.
inline std::uintptr_t SlotOfLinkageStub(const unsigned char* code,
                                        std::uintptr_t address) {
  std::size_t at = 0;
  if (std::memcmp(code, "\xf3\x0f\x1e\xfa", 4) == 0) at = 4;  // endbr64
  if (code[at] == 0xf2) ++at;                                 // bnd
  if (code[at] != 0xff || code[at + 1] != 0x25) return 0;
  std::int32_t distance;
  std::memcpy(&distance, code + at + 2, sizeof(distance));
  return address + at + 6 +
         static_cast<std::uintptr_t>(std::intptr_t{distance});
}

}  // namespace instar

#endif  // INSTAR_BASE_LINKAGE_STUB_H_
