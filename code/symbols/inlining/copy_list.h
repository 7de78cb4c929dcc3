// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The inlined copies of the functions of one file, by function: 16 bytes each,
// and each once, however often debug information describes it. They are merged
// while they are added, so that what is added twice takes no memory.

#ifndef INSTAR_CODE_SYMBOLS_INLINING_COPY_LIST_H_
#define INSTAR_CODE_SYMBOLS_INLINING_COPY_LIST_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace instar {
namespace code_internal {

class CopyList {
 public:
  struct Entry {
    std::uint32_t of;     // a number that the caller gives to a function
    std::uint32_t into;   // which function holds it, likewise
    std::int32_t offset;  // from the entry of that one
    std::uint32_t size;
  };

  // An offset or size that an entry has no room for makes the list incomplete.
  void Add(std::uint32_t of, std::uint32_t into, std::int64_t offset,
           std::uint64_t size);
  // After the last one, and before Of().
  void Finish();

  // Those that were added as copies of this one, in order.
  absl::Span<const Entry> Of(std::uint32_t of) const;

  // How many there are; up to twice as many before Finish().
  std::size_t size() const { return entries_.size(); }
  bool is_complete() const { return is_complete_; }

 private:
  void Merge();

  std::vector<Entry> entries_;
  std::size_t merged_ = 0;  // of them, from the first on, are in order
  bool is_complete_ = true;
};

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_INLINING_COPY_LIST_H_
