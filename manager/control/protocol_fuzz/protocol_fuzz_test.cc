// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The seeds of protocol_corpus/, and mutations of them by a generator that is
// the same on every machine. Memory is watched: what bytes announce must not be
// believed before it is there.

#include "manager/control/protocol_fuzz/protocol_fuzz.h"

#include <dirent.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/testing/file_contents.h"
#include "gtest/gtest.h"
#include "manager/control/frame.h"

namespace {

// The largest piece of memory that was asked for since it was set to 0. One
// thread.
std::size_t largest_allocation = 0;

}  // namespace

void* operator new(std::size_t size) {
  largest_allocation = std::max(largest_allocation, size);
  void* const memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace instar {
namespace {

constexpr char kCorpus[] = "manager/control/protocol_fuzz/protocol_corpus";

std::map<std::string, std::string> Corpus() {
  std::map<std::string, std::string> corpus;
  DIR* const folder = opendir(kCorpus);
  if (folder == nullptr) return corpus;
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] == '.') continue;
    corpus[entry->d_name] =
        FileContents(absl::StrCat(kCorpus, "/", entry->d_name));
  }
  closedir(folder);
  return corpus;
}

ProtocolFuzzResult Feed(absl::string_view bytes) {
  largest_allocation = 0;
  const ProtocolFuzzResult result = FeedProtocol(bytes);
  // A value of one byte becomes an element of 16 or a struct of up to 300, and
  // arrays double as they grow.
  EXPECT_LE(largest_allocation, 4096 + 600 * bytes.size());
  return result;
}

TEST(ProtocolFuzzTest, Seeds) {
  const auto corpus = Corpus();
  ASSERT_GE(corpus.size(), 15u);
  for (const auto& [name, bytes] : corpus) {
    SCOPED_TRACE(name);
    ASSERT_FALSE(bytes.empty());
    Feed(bytes);
  }
  EXPECT_EQ(Feed(corpus.at("all_commands")).requests, 7u);
  for (const char* name :
       {"reply_update", "reply_status", "reply_check", "reply_log"}) {
    EXPECT_EQ(Feed(corpus.at(name)).replies, 1u) << name;
  }
  EXPECT_EQ(Feed(corpus.at("too_long")).frames, 0u);
}

TEST(ProtocolFuzzTest, WhatIsAnnouncedTakesNoMemory) {
  largest_allocation = 0;
  {
    FrameParser parser(kMaxFrameBytes);
    parser.Append(absl::string_view("\0\0\x10\0", 4));  // kMaxFrameBytes
    ASSERT_TRUE(parser.Next().ok());
    for (int i = 0; i < 1000; ++i) {
      parser.Append("x");
      ASSERT_TRUE(parser.Next().ok());
    }
  }
  EXPECT_LE(largest_allocation, 4096u);
}

class Mutator {
 public:
  explicit Mutator(std::vector<std::string> seeds) : seeds_(std::move(seeds)) {}

  std::string Next() {
    std::string bytes = Pick(seeds_);
    for (std::size_t i = Below(4) + 1; i > 0; --i) Mutate(bytes);
    // Most of the time the length is put right, for what is behind it to be
    // looked at.
    if (bytes.size() >= kFrameHeaderBytes && Below(4) != 0) {
      bytes = MakeFrame(bytes.substr(kFrameHeaderBytes));
    }
    return bytes;
  }

 private:
  std::size_t Below(std::size_t limit) { return random_() % limit; }

  const std::string& Pick(const std::vector<std::string>& from) {
    return from[Below(from.size())];
  }

  void Mutate(std::string& bytes) {
    static const std::vector<std::string> kWords = {"null",
                                                    "true",
                                                    "-1",
                                                    "0",
                                                    "1e9",
                                                    "{}",
                                                    "[]",
                                                    "{",
                                                    "}",
                                                    "[",
                                                    "]",
                                                    "\"",
                                                    ",",
                                                    ":",
                                                    "\\",
                                                    "\\u0000",
                                                    "\"id\"",
                                                    "\"ok\"",
                                                    "\"error\"",
                                                    "\xff",
                                                    "18446744073709551615",
                                                    "-9223372036854775808",
                                                    "\"version\": 1"};
    const std::size_t at = Below(bytes.size() + 1);
    const std::size_t rest = bytes.size() - at;
    switch (Below(6)) {
      case 0:
        if (rest > 0) bytes[at] = static_cast<char>(Below(256));
        break;
      case 1:
        if (rest > 0) bytes[at] ^= static_cast<char>(1 << Below(8));
        break;
      case 2:
        bytes.erase(at, Below(rest + 1));
        break;
      case 3:
        bytes.insert(at, Pick(kWords));
        break;
      case 4: {
        const std::string& other = Pick(seeds_);
        bytes.insert(at, other, Below(other.size()), Below(64));
        break;
      }
      case 5:
        bytes.insert(
            at, bytes.substr(at, Below(std::min<std::size_t>(rest, 64) + 1)));
        break;
    }
  }

  std::mt19937 random_{20131026};
  std::vector<std::string> seeds_;
};

TEST(ProtocolFuzzTest, Mutations) {
  std::vector<std::string> seeds;
  for (auto& [name, bytes] : Corpus()) seeds.push_back(bytes);
  ASSERT_FALSE(seeds.empty());
  Mutator mutator(std::move(seeds));
  ProtocolFuzzResult sum;
  for (int i = 0; i < 10'000; ++i) {
    const std::string bytes = mutator.Next();
    const ProtocolFuzzResult result = Feed(bytes);
    sum.frames += result.frames;
    sum.requests += result.requests;
    sum.replies += result.replies;
    if (HasFailure()) FAIL() << "iteration " << i << ": " << bytes;
  }
  // It got past the first checks, often.
  EXPECT_GT(sum.frames, 7'000u);
  EXPECT_GT(sum.requests, 200u);
  EXPECT_GT(sum.replies, 100u);
}

}  // namespace
}  // namespace instar
