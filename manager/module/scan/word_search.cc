// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/scan/word_search.h"

#ifdef __x86_64__
#include <emmintrin.h>
#endif

#include <cstring>

namespace instar {
namespace manager_internal {
namespace {

constexpr std::size_t kBlock = 16;
// A word that begins in a block, and what is loaded with its middle.
constexpr std::size_t kBlockRead = kBlock + 8;
constexpr int kLower = 16;  // bits of an address that are not compared at first
constexpr int kRotated = 17;

#ifdef __x86_64__

// What libc mixes into addresses that it keeps: tcbhead_t::pointer_guard
// (sysdeps/x86_64/nptl/tls.h), as PTR_MANGLE of sysdeps/unix/sysv/linux/x86_64
// does.
std::uintptr_t PointerGuard() {
  std::uintptr_t guard;
  asm("movq %%fs:0x30, %0" : "=r"(guard));
  return guard;
}

// All ones in each of the four where `values` are not in [lowest, lowest +
// more], as numbers without a sign.
__m128i AreOutside(__m128i values, __m128i lowest, __m128i more_signed) {
  const __m128i sign = _mm_set1_epi32(static_cast<int>(0x80000000u));
  const __m128i above = _mm_sub_epi32(values, lowest);
  return _mm_cmpgt_epi32(_mm_xor_si128(above, sign), more_signed);
}

__m128i Load(const char* bytes) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
}

#else

std::uintptr_t PointerGuard() { return 0; }  // see kKnowsLibc

#endif

std::uintptr_t Demangled(std::uintptr_t value, std::uintptr_t guard) {
  return (value >> kRotated | value << (64 - kRotated)) ^ guard;
}

}  // namespace

WordSearch::WordSearch(AddressRange object)
    : object_(object),
      lowest_(static_cast<std::uint32_t>(object.begin >> kLower)),
      more_(static_cast<std::uint32_t>((object.end - 1) >> kLower) - lowest_),
      guard_(PointerGuard()) {}

#ifdef __x86_64__

bool WordSearch::MayLead(const char* bytes) const {
  const __m128i lowest = _mm_set1_epi32(static_cast<int>(lowest_));
  const __m128i more = _mm_set1_epi32(static_cast<int>(more_ ^ 0x80000000u));
  __m128i outside = AreOutside(Load(bytes + 2), lowest, more);
  outside = _mm_and_si128(outside, AreOutside(Load(bytes + 3), lowest, more));
  outside = _mm_and_si128(outside, AreOutside(Load(bytes + 4), lowest, more));
  outside = _mm_and_si128(outside, AreOutside(Load(bytes + 5), lowest, more));
  if (_mm_movemask_epi8(outside) != 0xffff) return true;
  // Bits 16 to 46 of the address are bits 33 to 63 of the mangled word: of the
  // two upper halves among these four.
  static_assert(kRotated + kLower == 33);
  const __m128i guard =
      _mm_set1_epi32(static_cast<int>(guard_ >> kLower & 0x7fffffffu));
  const __m128i plain = _mm_xor_si128(_mm_srli_epi32(Load(bytes), 1), guard);
  return (_mm_movemask_epi8(AreOutside(plain, lowest, more)) & 0xf0f0) !=
         0xf0f0;
}

#else

bool WordSearch::MayLead(const char*) const { return true; }

#endif

std::optional<WordSearch::Match> WordSearch::Find(const char* bytes,
                                                  std::size_t size,
                                                  std::uintptr_t address,
                                                  std::size_t from) const {
  for (std::size_t at = from; at + sizeof(std::uintptr_t) <= size; ++at) {
    const bool is_aligned = (address + at) % sizeof(std::uintptr_t) == 0;
    if (is_aligned) {
      while (at + kBlockRead <= size && !MayLead(bytes + at)) at += kBlock;
      if (at + sizeof(std::uintptr_t) > size) break;
    }
    std::uintptr_t word;
    std::memcpy(&word, bytes + at, sizeof(word));
    if (IsIn(AddressIn(word))) return Match{at, AddressIn(word), false};
    if (!is_aligned) continue;
    const std::uintptr_t plain = Demangled(word, guard_);
    if (IsIn(plain)) return Match{at, plain, true};
  }
  return std::nullopt;
}

}  // namespace manager_internal
}  // namespace instar
