// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linkage_stub.h"

#include <sanitizer/asan_interface.h>

#include <cstdint>

#include "gtest/gtest.h"

namespace instar {
namespace {

constexpr std::uintptr_t kAddress = 0x401000;

std::uintptr_t SlotOf(const char (&code)[kLinkageStubSize + 1]) {
  return SlotOfLinkageStub(reinterpret_cast<const unsigned char*>(code),
                           kAddress);
}

#if defined(__x86_64__)

TEST(LinkageStubTest, EveryFormIsKnown) {
  EXPECT_EQ(SlotOf("\xff\x25\x10\0\0\0\x68\0\0\0\0"), kAddress + 6 + 0x10);
  EXPECT_EQ(SlotOf("\xf2\xff\x25\x10\0\0\0\x90\x90\x90\x90"),
            kAddress + 7 + 0x10);
  EXPECT_EQ(SlotOf("\xf3\x0f\x1e\xfa\xff\x25\x10\0\0\0\x90"),
            kAddress + 10 + 0x10);
  EXPECT_EQ(SlotOf("\xf3\x0f\x1e\xfa\xf2\xff\x25\x10\0\0\0"),
            kAddress + 11 + 0x10);
  EXPECT_EQ(SlotOf("\xff\x25\xf0\xff\xff\xff\x68\0\0\0\0"),
            kAddress + 6 - 0x10);
}

TEST(LinkageStubTest, OtherCodeIsNone) {
  EXPECT_EQ(SlotOf("\x55\x48\x89\xe5\xff\x25\x10\0\0\0\x90"), 0u);
  EXPECT_EQ(SlotOf("\xff\x15\x10\0\0\0\x90\x90\x90\x90\x90"), 0u);
  EXPECT_EQ(SlotOf("\xf3\x0f\x1e\xfa\x55\x48\x89\xe5\x90\x90\x90"), 0u);
}

#else

TEST(LinkageStubTest, EveryFormIsKnown) {
  // adrp x16, +1 page; ldr x17, [x16, #0x10]; add x16, x16, #0x10
  EXPECT_EQ(SlotOf("\x10\0\0\xb0\x11\x0a\x40\xf9\x10\x42\0\x91"),
            kAddress + 0x1000 + 0x10);
  // bti c; adrp x16, -1 page; ldr x17, [x16, #0x7ff8]
  EXPECT_EQ(SlotOf("\x5f\x24\x03\xd5\xf0\xff\xff\xf0\x11\xfe\x7f\xf9"),
            kAddress - 0x1000 + 0x7ff8);
}

TEST(LinkageStubTest, OtherCodeIsNone) {
  // stp x29, x30, [sp, #-16]!; mov x29, sp; nop
  EXPECT_EQ(SlotOf("\xfd\x7b\xbf\xa9\xfd\x03\0\x91\x1f\x20\x03\xd5"), 0u);
  // adrp x0, +1 page; ldr x17, [x0, #0x10]
  EXPECT_EQ(SlotOf("\0\0\0\xb0\x11\x08\x40\xf9\x10\x42\0\x91"), 0u);
}

#endif

// As between constants, which may lie beside code.
TEST(LinkageStubTest, AddressSanitizerDoesNotLook) {
  alignas(32) unsigned char gap[32] = {0xf3, 0x0f, 0x1e, 0xfa};
  static_assert(sizeof(gap) >= kLinkageStubSize);
  ASAN_POISON_MEMORY_REGION(gap, sizeof(gap));
  EXPECT_EQ(SlotOfLinkageStub(gap, kAddress), 0u);
  ASAN_UNPOISON_MEMORY_REGION(gap, sizeof(gap));
}

}  // namespace
}  // namespace instar
