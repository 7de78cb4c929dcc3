// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/inlining/copy_list.h"

#include <algorithm>
#include <tuple>

namespace instar {
namespace code_internal {
namespace {

// As many may be added before they are merged, or as many as there are.
constexpr std::size_t kFewest = std::size_t{1} << 14;

auto KeyOf(const CopyList::Entry& entry) {
  return std::make_tuple(entry.of, entry.into, entry.offset, entry.size);
}

}  // namespace

void CopyList::Add(std::uint32_t of, std::uint32_t into, std::int64_t offset,
                   std::uint64_t size) {
  const Entry entry{of, into, static_cast<std::int32_t>(offset),
                    static_cast<std::uint32_t>(size)};
  if (entry.offset != offset || entry.size != size) {
    is_complete_ = false;
    return;
  }
  entries_.push_back(entry);
  if (entries_.size() - merged_ > std::max(kFewest, merged_)) Merge();
}

void CopyList::Merge() {
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return KeyOf(a) < KeyOf(b); });
  entries_.erase(std::unique(entries_.begin(), entries_.end(),
                             [](const Entry& a, const Entry& b) {
                               return KeyOf(a) == KeyOf(b);
                             }),
                 entries_.end());
  merged_ = entries_.size();
}

void CopyList::Finish() {
  Merge();
  entries_.shrink_to_fit();
}

absl::Span<const CopyList::Entry> CopyList::Of(std::uint32_t of) const {
  const auto begin = std::lower_bound(
      entries_.begin(), entries_.end(), of,
      [](const Entry& entry, std::uint32_t key) { return entry.of < key; });
  auto end = begin;
  while (end != entries_.end() && end->of == of) ++end;
  return {entries_.data() + (begin - entries_.begin()),
          static_cast<std::size_t>(end - begin)};
}

}  // namespace code_internal
}  // namespace instar
