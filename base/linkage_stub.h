// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The stubs of a procedure linkage table.
//
//   x86-64   an optional endbr64, an optional bnd prefix, jmp *slot(%rip)
//   arm64    an optional bti, adrp x16, slot; ldr x17, [x16, slot]; ...
//
// Threads: any; async-signal-safe.

#ifndef INSTAR_BASE_LINKAGE_STUB_H_
#define INSTAR_BASE_LINKAGE_STUB_H_

#include <cstddef>
#include <cstdint>

namespace instar {

// So many bytes of a stub say where its slot is.
#if defined(__x86_64__)
constexpr std::size_t kLinkageStubSize = 11;
#elif defined(__aarch64__)
constexpr std::size_t kLinkageStubSize = 12;
#else
#error "the stubs of this processor are not known here"
#endif

// The address of the slot through which the stub jumps that stands at `address`
// and whose code is `code`, of which kLinkageStubSize bytes can be read; 0 if
// none stands there. Whoever looks for stubs may be mistaken in where one could
// be, and be among constants that lie beside the code: AddressSanitizer, which
// has gaps between those, does not look.
__attribute__((no_sanitize("address"))) inline std::uintptr_t SlotOfLinkageStub(
    const unsigned char* code, std::uintptr_t address) {
#if defined(__x86_64__)
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
#else
  const auto instruction = [code](std::size_t at) {
    std::uint32_t word = 0;
    for (int i = 3; i >= 0; --i) {
      word = word << 8 | code[at + static_cast<std::size_t>(i)];
    }
    return word;
  };
  const std::size_t at = instruction(0) == 0xd503245f ? 4 : 0;  // bti c
  const std::uint32_t adrp = instruction(at);
  const std::uint32_t ldr = instruction(at + 4);
  if ((adrp & 0x9f00001f) != 0x90000010) return 0;  // adrp x16, page
  if ((ldr & 0xffc003ff) != 0xf9400211) return 0;   // ldr x17, [x16, offset]
  // A signed number of pages of 4 KiB, of 21 bits.
  const std::uint32_t pages = (adrp >> 5 & 0x7ffff) << 2 | (adrp >> 29 & 3);
  const auto distance =
      static_cast<std::int64_t>(std::uint64_t{pages} << 43) >> 31;
  return ((address + at) & ~std::uintptr_t{0xfff}) +
         static_cast<std::uintptr_t>(distance) + 8 * (ldr >> 10 & 0xfff);
#endif
}

}  // namespace instar

#endif  // INSTAR_BASE_LINKAGE_STUB_H_
