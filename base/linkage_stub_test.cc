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

// As between constants, which may lie beside code.
TEST(LinkageStubTest, AddressSanitizerDoesNotLook) {
  alignas(32) unsigned char gap[32] = {0xf3, 0x0f, 0x1e, 0xfa};
  ASAN_POISON_MEMORY_REGION(gap, sizeof(gap));
  EXPECT_EQ(SlotOfLinkageStub(gap, kAddress), 0u);
  ASAN_UNPOISON_MEMORY_REGION(gap, sizeof(gap));
}

}  // namespace
}  // namespace instar
