// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/ginseng/expiry.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "code/function_entry.h"
#include "examples/ginseng/requests.h"
#include "heap/class_version.h"

namespace ginseng {
namespace {

// As memcached reads it: up to 30 days it is from now on, then since 1970.
std::time_t TimeOf(std::int64_t expiry) {
  constexpr std::int64_t kLongestFromNow = 30 * 24 * 60 * 60;
  if (expiry == 0) return 0;
  if (expiry < 0) return 1;  // it has expired
  return expiry <= kLongestFromNow ? std::time(nullptr) + expiry : expiry;
}

Entry* NewFind(Part& part, const std::string& key) {
  const auto found = part.entries.find(key);
  if (found == part.entries.end()) return nullptr;
  Entry* const entry = found->second.get();
  const auto* const now = instar::version_cast<CountedEntry>(entry);
  if (now->expires == 0 || now->expires > std::time(nullptr)) return entry;
  part.entries.erase(found);
  return nullptr;
}

const Entry* NewRead(Part& part, const std::string& key) {
  Entry* const entry = NewFind(part, key);
  if (entry != nullptr) ++instar::version_cast<CountedEntry>(entry)->reads;
  return entry;
}

std::unique_ptr<Entry> NewMakeEntry(std::string value, std::uint32_t flags,
                                    std::int64_t expiry) {
  auto entry = std::make_unique<CountedEntry>();
  entry->value = std::move(value);
  entry->flags = flags;
  entry->unique = NextUnique();
  entry->expires = TimeOf(expiry);
  return entry;
}

// "touch KEY EXPIRY"
std::string Touch(const std::string& key, const std::string& expiry) {
  std::int64_t number = 0;
  if (!absl::SimpleAtoi(expiry, &number)) {
    return "CLIENT_ERROR invalid exptime argument\r\n";
  }
  Part& part = PartOf(key);
  const std::lock_guard<std::mutex> hold(part.lock);
  Entry* const entry = NewFind(part, key);
  if (entry == nullptr) return "NOT_FOUND\r\n";
  instar::version_cast<CountedEntry>(entry)->expires = TimeOf(number);
  return "TOUCHED\r\n";
}

// "stats reads": of the ten keys that were read most often.
std::string MostRead() {
  using Line = std::pair<std::uint64_t, std::string>;
  std::vector<Line> lines;
  for (Part& part : parts) {
    const std::lock_guard<std::mutex> hold(part.lock);
    for (const auto& [key, entry] : part.entries) {
      const auto* const now = instar::version_cast<CountedEntry>(entry.get());
      if (now->reads > 0) lines.emplace_back(now->reads, key);
    }
  }
  const std::size_t count = std::min<std::size_t>(lines.size(), 10);
  std::partial_sort(
      lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(count),
      lines.end(), [](const Line& a, const Line& b) {
        return a.first > b.first || (a.first == b.first && a.second < b.second);
      });
  std::string answer;
  for (std::size_t i = 0; i < count; ++i) {
    absl::StrAppend(&answer, "STAT ", lines[i].second, " ", lines[i].first,
                    "\r\n");
  }
  return answer + "END\r\n";
}

std::string NewAnswer(const Request& request) {
  const std::vector<std::string>& words = request.words;
  if (words.size() == 3 && words[0] == "touch")
    return Touch(words[1], words[2]);
  if (words == std::vector<std::string>{"stats", "reads"}) return MostRead();
  return instar::Original(&Answer)(request);
}

}  // namespace

void RedefineStore(instar::UpdatePlan& plan) {
  plan.Redefine(&Find, &NewFind);
  plan.Redefine(&Read, &NewRead);
  plan.Redefine(&MakeEntry, &NewMakeEntry);
  plan.Redefine(&Answer, &NewAnswer);
}

}  // namespace ginseng
