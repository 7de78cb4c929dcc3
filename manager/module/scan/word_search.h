// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Looks through bytes for words that may be addresses of an object. Internal to
// manager/module.
//
//   const WordSearch search({begin, end});
//   std::size_t from = 0;
//   while (const auto match = search.Find(bytes, size, address, from)) {
//     if (IsOfInterest(match->value)) ...
//     from = match->at + 1;
//   }
//
// At each byte, since structures may be packed. The upper 16 bits of a word do
// not count: programs keep counters and types there, beside an address. A word
// that is aligned is also taken as libc writes addresses that are not to be
// forged (atexit(), __cxa_thread_atexit(), setjmp()).
//
// Threads: any. Allocates nothing.

#ifndef INSTAR_MANAGER_MODULE_SCAN_WORD_SEARCH_H_
#define INSTAR_MANAGER_MODULE_SCAN_WORD_SEARCH_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "manager/module/near_place.h"

namespace instar {
namespace manager_internal {

class WordSearch {
 public:
  struct Match {
    std::size_t at;        // of its first byte
    std::uintptr_t value;  // the address
    bool is_mangled;       // as libc writes it
  };

  // Whether it is known how libc writes addresses that are not to be forged: on
  // x86-64. Elsewhere a search says nothing of these.
#ifdef __x86_64__
  static constexpr bool kKnowsLibc = true;
#else
  static constexpr bool kKnowsLibc = false;
#endif

  // Of an object in the lower half of the address space.
  explicit WordSearch(AddressRange object);

  // The address that a word stands for, if it is one.
  static std::uintptr_t AddressIn(std::uintptr_t word) {
    return word & ((std::uintptr_t{1} << 48) - 1);
  }

  // The first word from bytes[from] on that leads into the object. `address`:
  // of bytes[0].
  std::optional<Match> Find(const char* bytes, std::size_t size,
                            std::uintptr_t address, std::size_t from) const;

 private:
  bool IsIn(std::uintptr_t address) const {
    return address - object_.begin < object_.end - object_.begin;
  }
  // Whether one of the 16 words that begin in bytes[0] to bytes[15] may lead
  // into it. Reads kBlockRead bytes, of which the first has an address that is
  // a multiple of 8.
  bool MayLead(const char* bytes) const;

  const AddressRange object_;
  // Bits 16 to 47 of its addresses are one of these, of which there are one
  // more than `more_`.
  const std::uint32_t lowest_;
  const std::uint32_t more_;
  const std::uintptr_t guard_;
};

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_SCAN_WORD_SEARCH_H_
