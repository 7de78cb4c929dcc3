// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/similar_names.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace instar {
namespace {

constexpr std::size_t kMostSimilar = 5;
constexpr std::size_t kMostListed = 10;
constexpr std::size_t kLeastPart = 3;

bool HasPart(absl::string_view whole, absl::string_view part) {
  return part.size() >= kLeastPart && absl::StrContains(whole, part);
}

std::string Quoted(const std::vector<std::string>& names) {
  return absl::StrJoin(names, ", ", [](std::string* out, const auto& name) {
    absl::StrAppend(out, "'", name, "'");
  });
}

}  // namespace

std::size_t EditDistance(absl::string_view a, absl::string_view b,
                         std::size_t limit) {
  if (std::max(a.size(), b.size()) - std::min(a.size(), b.size()) >= limit) {
    return limit;
  }
  // Of the first i letters of `a`, and one and two less, to each beginning of
  // `b`.
  std::vector<std::size_t> row(b.size() + 1), last(row), before_last(row);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before_last.swap(last);
    last.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1),
                         last[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
  }
  return std::min(row[b.size()], limit);
}

std::size_t SimilarityLimit(absl::string_view name) {
  return 1 + std::min<std::size_t>(3, name.size() / 3);
}

std::vector<std::string> SimilarNames(absl::string_view wanted,
                                      const std::vector<std::string>& names) {
  const std::string key = absl::AsciiStrToLower(wanted);
  const std::size_t limit = SimilarityLimit(key);
  std::set<std::pair<std::size_t, std::string>> nearest;
  for (const std::string& name : names) {
    const std::string other = absl::AsciiStrToLower(name);
    const std::size_t distance = EditDistance(key, other, limit);
    if (distance >= limit && !HasPart(key, other) && !HasPart(other, key)) {
      continue;
    }
    nearest.emplace(distance, name);
    if (nearest.size() > kMostSimilar) nearest.erase(--nearest.end());
  }
  std::vector<std::string> similar;
  for (const auto& [distance, name] : nearest) similar.push_back(name);
  return similar;
}

std::string SimilarNamesText(absl::string_view wanted,
                             const std::vector<std::string>& names) {
  if (names.empty()) return "; there are none";
  const std::vector<std::string> similar = SimilarNames(wanted, names);
  if (!similar.empty()) return absl::StrCat("; similar: ", Quoted(similar));
  const std::size_t listed = std::min(names.size(), kMostListed);
  std::string text = absl::StrCat(
      "; there ", names.size() == 1 ? "is " : "are ",
      Quoted(std::vector<std::string>(names.begin(), names.begin() + listed)));
  if (listed < names.size()) {
    absl::StrAppend(&text, " and ", names.size() - listed, " more");
  }
  return text;
}

}  // namespace instar
