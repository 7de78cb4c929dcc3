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

namespace instar {

// No stub is longer.
constexpr std::size_t kLinkageStubSize = 11;

// The address of the slot through which the stub jumps that stands at `address`
// and whose code is `code`, of which kLinkageStubSize bytes can be read; 0 if
// none stands there. Whoever looks for stubs may be mistaken in where one could
// be, and be among constants that lie beside the code: AddressSanitizer, which
// has gaps between those, does not look.
__attribute__((no_sanitize("address"))) inline std::uintptr_t SlotOfLinkageStub(
    const unsigned char* code, std::uintptr_t address) {
  std::size_t at = 0;
  if (code[0] == 0xf3 && code[1] == 0x0f && code[2] == 0x1e &&
      code[3] == 0xfa) {
    at = 4;  // endbr64
  }
  if (code[at] == 0xf2) ++at;  // bnd
  if (code[at] != 0xff || code[at + 1] != 0x25) return 0;
  std::uint32_t distance = 0;
  for (int i = 3; i >= 0; --i) distance = distance << 8 | code[at + 2 + i];
  return address + at + 6 +
         static_cast<std::uintptr_t>(
             std::intptr_t{static_cast<std::int32_t>(distance)});
}

}  // namespace instar

#endif  // INSTAR_BASE_LINKAGE_STUB_H_
