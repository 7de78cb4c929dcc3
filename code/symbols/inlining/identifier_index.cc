// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/inlining/identifier_index.h"

#include <algorithm>
#include <cstddef>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace instar {
namespace code_internal {
namespace {

constexpr std::size_t kLongest = 1 << 16;

// FNV-1a: parts are short.
uint32_t Hash(absl::string_view part) {
  uint32_t hash = 2166136261u;
  for (const char c : part) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  }
  return hash;
}

}  // namespace

void IdentifierIndex::Add(absl::string_view linkage_name, uint32_t number) {
  if (!absl::StartsWith(linkage_name, "_Z")) return;
  for (std::size_t at = 2; at < linkage_name.size(); ++at) {
    if (!absl::ascii_isdigit(linkage_name[at]) || linkage_name[at] == '0') {
      continue;
    }
    std::size_t length = 0;
    std::size_t begin = at;
    while (begin < linkage_name.size() &&
           absl::ascii_isdigit(linkage_name[begin]) && length < kLongest) {
      length =
          10 * length + static_cast<std::size_t>(linkage_name[begin] - '0');
      ++begin;
    }
    if (length > linkage_name.size() - begin) continue;
    entries_.push_back(
        {Hash(linkage_name.substr(at, begin - at + length)), number});
  }
}

void IdentifierIndex::Finish() {
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) {
              return std::tie(a.hash, a.number) < std::tie(b.hash, b.number);
            });
  entries_.erase(std::unique(entries_.begin(), entries_.end(),
                             [](const Entry& a, const Entry& b) {
                               return a.hash == b.hash && a.number == b.number;
                             }),
                 entries_.end());
  entries_.shrink_to_fit();
}

std::vector<uint32_t> IdentifierIndex::Candidates(
    absl::Span<const std::string> parts) const {
  std::vector<uint32_t> numbers;
  for (const std::string& part : parts) {
    const uint32_t hash = Hash(part);
    auto entry = std::lower_bound(
        entries_.begin(), entries_.end(), hash,
        [](const Entry& e, uint32_t wanted) { return e.hash < wanted; });
    for (; entry != entries_.end() && entry->hash == hash; ++entry) {
      numbers.push_back(entry->number);
    }
  }
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  return numbers;
}

}  // namespace code_internal
}  // namespace instar
