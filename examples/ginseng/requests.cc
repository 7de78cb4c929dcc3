// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/ginseng/requests.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "examples/ginseng/store.h"

namespace ginseng {
namespace {

constexpr std::size_t kLongestKey = 250;                         // bytes
constexpr std::size_t kLongestLine = std::size_t{64} << 10;      // bytes
constexpr std::uint64_t kLongestValue = std::uint64_t{1} << 20;  // bytes
constexpr std::size_t kLongestAnswer = std::size_t{64} << 20;    // bytes
constexpr char kFirstOfBinary = '\x80';
constexpr const char* kError = "ERROR\r\n";
constexpr const char* kBadLine = "CLIENT_ERROR bad command line format\r\n";
constexpr const char* kTooLarge = "SERVER_ERROR object too large for cache\r\n";

// Relaxed: they are counted for people.
struct Counters {
  std::atomic<std::uint64_t> gets{0}, hits{0}, sets{0};
};
Counters counters;

void Count(std::atomic<std::uint64_t>& counter) {
  counter.fetch_add(1, std::memory_order_relaxed);
}

bool IsKey(const std::string& word) { return word.size() <= kLongestKey; }

bool HasValue(const std::string& command) {
  return command == "set" || command == "add" || command == "replace" ||
         command == "append" || command == "prepend" || command == "cas";
}

bool AlwaysReplies(const std::string& command) {
  return command == "get" || command == "gets" || command == "quit" ||
         command == "stats" || command == "version";
}

std::string Get(const Request& request, bool with_unique) {
  std::string answer;
  for (std::size_t i = 1; i < request.words.size(); ++i) {
    const std::string& key = request.words[i];
    if (!IsKey(key)) return kBadLine;
    Part& part = PartOf(key);
    const std::lock_guard<std::mutex> hold(part.lock);
    Count(counters.gets);
    const Entry* const entry = Read(part, key);
    if (entry == nullptr) continue;
    Count(counters.hits);
    if (answer.size() + entry->value.size() > kLongestAnswer) {
      return "SERVER_ERROR out of memory writing get response\r\n";
    }
    absl::StrAppend(&answer, "VALUE ", key, " ", entry->flags, " ",
                    entry->value.size());
    if (with_unique) absl::StrAppend(&answer, " ", entry->unique);
    absl::StrAppend(&answer, "\r\n", entry->value, "\r\n");
  }
  return answer + "END\r\n";
}

// The words have been looked at.
std::string Set(const Request& request) {
  const std::string& command = request.words[0];
  const std::string& key = request.words[1];
  std::uint32_t flags = 0;
  std::int64_t expiry = 0;
  std::uint64_t unique = 0;
  if (!absl::SimpleAtoi(request.words[2], &flags) ||
      !absl::SimpleAtoi(request.words[3], &expiry) ||
      (command == "cas" && !absl::SimpleAtoi(request.words[5], &unique))) {
    return kBadLine;
  }
  Part& part = PartOf(key);
  const std::lock_guard<std::mutex> hold(part.lock);
  Count(counters.sets);
  Entry* const old = Find(part, key);
  if (command == "append" || command == "prepend") {
    if (old == nullptr) return "NOT_STORED\r\n";
    if (old->value.size() + request.data.size() > kLongestValue) {
      return kTooLarge;
    }
    old->value = command == "append" ? old->value + request.data
                                     : request.data + old->value;
    old->unique = NextUnique();
    return "STORED\r\n";
  }
  if (command == "cas" && old == nullptr) return "NOT_FOUND\r\n";
  if (command == "cas" && old->unique != unique) return "EXISTS\r\n";
  if ((command == "add" && old != nullptr) ||
      (command == "replace" && old == nullptr)) {
    return "NOT_STORED\r\n";
  }
  part.entries[key] = MakeEntry(request.data, flags, expiry);
  return "STORED\r\n";
}

std::string Delete(const Request& request) {
  // Clients of old say after how many seconds.
  if (request.words.size() == 3 && request.words[2] != "0") return kBadLine;
  const std::string& key = request.words[1];
  if (!IsKey(key)) return kBadLine;
  Part& part = PartOf(key);
  const std::lock_guard<std::mutex> hold(part.lock);
  if (Find(part, key) == nullptr) return "NOT_FOUND\r\n";
  part.entries.erase(key);
  return "DELETED\r\n";
}

std::string Increment(const Request& request) {
  const std::string& key = request.words[1];
  if (!IsKey(key)) return kBadLine;
  std::uint64_t change = 0, number = 0;
  if (!absl::SimpleAtoi(request.words[2], &change)) {
    return "CLIENT_ERROR invalid numeric delta argument\r\n";
  }
  Part& part = PartOf(key);
  const std::lock_guard<std::mutex> hold(part.lock);
  Entry* const entry = Find(part, key);
  if (entry == nullptr) return "NOT_FOUND\r\n";
  if (!absl::SimpleAtoi(entry->value, &number)) {
    return "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
  }
  if (request.words[0] == "incr") {
    number += change;  // from the largest number it goes on at 0
  } else {
    number -= std::min(number, change);
  }
  entry->value = absl::StrCat(number);
  entry->unique = NextUnique();
  return entry->value + "\r\n";
}

std::string FlushAll(const Request& request) {
  if (request.words.size() == 2 && request.words[1] != "0") {
    return "CLIENT_ERROR it is flushed at once or not at all\r\n";
  }
  for (Part& part : parts) {
    const std::lock_guard<std::mutex> hold(part.lock);
    part.entries.clear();
  }
  return "OK\r\n";
}

std::string Statistics() {
  std::size_t entries = 0;
  for (Part& part : parts) {
    const std::lock_guard<std::mutex> hold(part.lock);
    entries += part.entries.size();
  }
  std::string answer;
  const auto say = [&](const char* name, std::uint64_t value) {
    absl::StrAppend(&answer, "STAT ", name, " ", value, "\r\n");
  };
  const std::uint64_t gets = counters.gets.load(std::memory_order_relaxed);
  const std::uint64_t hits = counters.hits.load(std::memory_order_relaxed);
  say("pid", static_cast<std::uint64_t>(getpid()));
  say("time", static_cast<std::uint64_t>(std::time(nullptr)));
  say("pointer_size", 8 * sizeof(void*));
  say("curr_items", entries);
  say("cmd_get", gets);
  say("cmd_set", counters.sets.load(std::memory_order_relaxed));
  say("get_hits", hits);
  say("get_misses", gets - std::min(gets, hits));
  return answer + "END\r\n";
}

// What stands at the front of the input.
struct Parsed {
  Request request;
  std::size_t bytes = 0;  // that it has; 0: more must be received first
  bool has_reply = true;
  std::string refusal;   // empty: none
  bool is_lost = false;  // where the next request begins is not known
};

Parsed Lost(std::string refusal) {
  Parsed parsed;
  parsed.refusal = std::move(refusal);
  parsed.is_lost = true;
  return parsed;
}

Parsed Parse(absl::string_view input) {
  Parsed parsed;
  const std::size_t end = input.substr(0, kLongestLine).find('\n');
  if (end == absl::string_view::npos) {
    return input.size() < kLongestLine ? parsed
                                       : Lost("CLIENT_ERROR line too long\r\n");
  }
  absl::string_view line = input.substr(0, end);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  std::vector<std::string>& words = parsed.request.words;
  words = absl::StrSplit(line, ' ', absl::SkipEmpty());
  parsed.bytes = end + 1;
  if (words.size() > 1 && words.back() == "noreply" &&
      !AlwaysReplies(words[0])) {
    words.pop_back();
    parsed.has_reply = false;
  }
  if (words.empty() || !HasValue(words[0])) return parsed;
  std::uint64_t length = 0;
  if (words.size() != (words[0] == "cas" ? 6 : 5)) {
    parsed.refusal = kError;
    return parsed;
  }
  if (!absl::SimpleAtoi(words[4], &length)) return Lost(kBadLine);
  if (length > kLongestValue) {
    return Lost(kTooLarge);
  }
  if (input.size() < parsed.bytes + length + 2) return Parsed();
  parsed.request.data = std::string(input.substr(parsed.bytes, length));
  parsed.bytes += length;
  if (input.substr(parsed.bytes, 2) != "\r\n") {
    return Lost("CLIENT_ERROR bad data chunk\r\n");
  }
  parsed.bytes += 2;
  if (!IsKey(words[1])) parsed.refusal = kBadLine;
  return parsed;
}

}  // namespace

std::string Answer(const Request& request) {
  const std::vector<std::string>& words = request.words;
  if (words.empty()) return kError;
  const std::string& command = words[0];
  if (HasValue(command)) return Set(request);
  if (command == "get" && words.size() > 1) return Get(request, false);
  if (command == "gets" && words.size() > 1) return Get(request, true);
  if (command == "delete" && (words.size() == 2 || words.size() == 3)) {
    return Delete(request);
  }
  if ((command == "incr" || command == "decr") && words.size() == 3) {
    return Increment(request);
  }
  if (command == "flush_all" && words.size() <= 2) return FlushAll(request);
  if (command == "stats" && words.size() == 1) return Statistics();
  if (command == "version" && words.size() == 1) return "VERSION 1.4.0\r\n";
  if (command == "verbosity" && words.size() == 2) return "OK\r\n";
  return kError;
}

Taken TakeRequest(std::string* input, std::string* output) {
  if (input->empty()) return Taken::kNone;
  if (input->front() == kFirstOfBinary) return Taken::kLast;
  const Parsed parsed = Parse(*input);
  if (parsed.is_lost) {
    output->append(parsed.refusal);
    return Taken::kLast;
  }
  if (parsed.bytes == 0) return Taken::kNone;
  input->erase(0, parsed.bytes);
  const Request& request = parsed.request;
  if (request.words == std::vector<std::string>{"quit"}) return Taken::kLast;
  const std::string answer =
      parsed.refusal.empty() ? Answer(request) : parsed.refusal;
  if (parsed.has_reply) output->append(answer);
  return Taken::kOne;
}

}  // namespace ginseng
