// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/ginseng/store.h"

#include <atomic>
#include <functional>
#include <utility>

namespace ginseng {

std::array<Part, 64> parts;

Part& PartOf(const std::string& key) {
  return parts[std::hash<std::string>()(key) % parts.size()];
}

std::uint64_t NextUnique() {
  // Relaxed: only that they differ matters.
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

Entry* Find(Part& part, const std::string& key) {
  const auto found = part.entries.find(key);
  return found == part.entries.end() ? nullptr : found->second.get();
}

const Entry* Read(Part& part, const std::string& key) {
  return Find(part, key);
}

std::unique_ptr<Entry> MakeEntry(std::string value, std::uint32_t flags,
                                 std::int64_t) {
  auto entry = std::make_unique<Entry>();
  entry->value = std::move(value);
  entry->flags = flags;
  entry->unique = NextUnique();
  return entry;
}

}  // namespace ginseng
