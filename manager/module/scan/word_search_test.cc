// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/scan/word_search.h"

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace instar {
namespace manager_internal {
namespace {

constexpr AddressRange kObject = {0x5555deadf010, 0x5555deb21010};
constexpr std::uintptr_t kAddress = 0x10000;  // of the bytes

std::string Filled(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random() % 4);
  return bytes;
}

TEST(WordSearchTest, AtEachByte) {
  const WordSearch search(kObject);
  for (std::size_t at = 0; at + 8 <= 100; ++at) {
    for (const std::uintptr_t value :
         {kObject.begin, kObject.begin + 0x10000, kObject.end - 1}) {
      std::string bytes = Filled(100, static_cast<unsigned>(at));
      std::memcpy(&bytes[at], &value, sizeof(value));
      const auto match = search.Find(bytes.data(), bytes.size(), kAddress, 0);
      ASSERT_TRUE(match.has_value()) << at;
      EXPECT_EQ(match->at, at);
      EXPECT_EQ(match->value, value);
      EXPECT_FALSE(match->is_mangled);
      EXPECT_FALSE(
          search.Find(bytes.data(), bytes.size(), kAddress, at + 1).has_value())
          << at;
    }
  }
}

TEST(WordSearchTest, NotBesideTheObject) {
  const WordSearch search(kObject);
  for (std::size_t at = 0; at + 8 <= 64; ++at) {
    for (const std::uintptr_t value : {kObject.begin - 1, kObject.end}) {
      std::string bytes(64, '\0');
      std::memcpy(&bytes[at], &value, sizeof(value));
      EXPECT_FALSE(
          search.Find(bytes.data(), bytes.size(), kAddress, 0).has_value())
          << at;
    }
  }
}

TEST(WordSearchTest, NotPartsOfAWord) {
  const WordSearch search(kObject);
  const std::uintptr_t value = kObject.begin;
  std::string bytes(64, '\0');
  std::memcpy(&bytes[56], &value, sizeof(value));
  EXPECT_FALSE(search.Find(bytes.data(), 63, kAddress, 0).has_value());
  EXPECT_TRUE(search.Find(bytes.data(), 64, kAddress, 0).has_value());
  EXPECT_FALSE(search.Find(bytes.data(), 64, kAddress, 57).has_value());
}

TEST(WordSearchTest, BesideOtherBits) {
  const WordSearch search(kObject);
  const std::uintptr_t value = (kObject.begin + 3) | std::uintptr_t{0xfff8}
                                                         << 48;
  std::string bytes(64, '\0');
  std::memcpy(&bytes[13], &value, sizeof(value));
  const auto match = search.Find(bytes.data(), bytes.size(), kAddress, 0);
  ASSERT_TRUE(match.has_value());
  EXPECT_EQ(match->value, kObject.begin + 3);
}

// As PTR_MANGLE of glibc for x86-64.
std::uintptr_t Mangled(std::uintptr_t value) {
  asm("xorq %%fs:0x30, %0\n\t"
      "rolq $17, %0"
      : "+r"(value)
      :
      : "cc");
  return value;
}

TEST(WordSearchTest, AsLibcWritesThem) {
  const WordSearch search(kObject);
  for (std::size_t at = 0; at + 8 <= 100; ++at) {
    const std::uintptr_t value = kObject.end - 1 - at;
    const std::uintptr_t mangled = Mangled(value);
    std::string bytes(100, '\0');
    std::memcpy(&bytes[at], &mangled, sizeof(mangled));
    const auto match = search.Find(bytes.data(), bytes.size(), kAddress, 0);
    ASSERT_EQ(match.has_value(), at % 8 == 0) << at;
    if (!match.has_value()) continue;
    EXPECT_EQ(match->at, at);
    EXPECT_EQ(match->value, value);
    EXPECT_TRUE(match->is_mangled);
  }
}

TEST(WordSearchTest, WhereverTheBytesBegin) {
  const WordSearch search(kObject);
  for (std::uintptr_t begin = 0; begin < 8; ++begin) {
    for (std::size_t at = 0; at + 8 <= 64; ++at) {
      std::string bytes(64, '\0');
      const bool is_aligned = (begin + at) % 8 == 0;
      const std::uintptr_t word =
          is_aligned ? Mangled(kObject.begin) : kObject.begin;
      std::memcpy(&bytes[at], &word, sizeof(word));
      const auto match =
          search.Find(bytes.data(), bytes.size(), kAddress + begin, 0);
      ASSERT_TRUE(match.has_value()) << begin << " " << at;
      EXPECT_EQ(match->at, at);
      EXPECT_EQ(match->is_mangled, is_aligned);
    }
  }
}

}  // namespace
}  // namespace manager_internal
}  // namespace instar
