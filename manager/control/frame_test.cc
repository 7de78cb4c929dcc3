// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/frame.h"

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// All frames that are complete.
std::vector<std::string> Take(FrameParser& parser) {
  std::vector<std::string> frames;
  while (true) {
    const auto frame = parser.Next();
    EXPECT_TRUE(frame.ok()) << frame.status();
    if (!frame.ok() || !frame->has_value()) return frames;
    frames.emplace_back(**frame);
  }
}

TEST(FrameTest, BeginsWithItsLength) {
  EXPECT_EQ(MakeFrame("{}"), std::string("\2\0\0\0{}", 6));
  EXPECT_EQ(MakeFrame(std::string(0x10203, 'x')).substr(0, 5),
            std::string("\3\2\1\0x", 5));
}

TEST(FrameTest, ReadsWhatWasMade) {
  FrameParser parser(kMaxFrameBytes);
  const std::string longest(kMaxFrameBytes, 'x');
  parser.Append(absl::StrCat(MakeFrame("a"), MakeFrame(""), MakeFrame(longest),
                             MakeFrame("b").substr(0, 3)));
  EXPECT_THAT(Take(parser), ElementsAre("a", "", longest));
  EXPECT_FALSE(parser.is_at_boundary());
  parser.Append(MakeFrame("b").substr(3));
  EXPECT_THAT(Take(parser), ElementsAre("b"));
  EXPECT_TRUE(parser.is_at_boundary());
}

TEST(FrameTest, ReadsPiecesOfAnySize) {
  const std::string bytes =
      absl::StrCat(MakeFrame("first"), MakeFrame(""), MakeFrame("second"));
  for (std::size_t size = 1; size <= bytes.size(); ++size) {
    FrameParser parser(kMaxFrameBytes);
    std::vector<std::string> frames;
    for (std::size_t at = 0; at < bytes.size(); at += size) {
      parser.Append(absl::string_view(bytes).substr(at, size));
      for (std::string& frame : Take(parser)) frames.push_back(frame);
    }
    EXPECT_THAT(frames, ElementsAre("first", "", "second")) << size;
    EXPECT_TRUE(parser.is_at_boundary());
  }
}

TEST(FrameTest, RefusesALengthAboveTheLimitAndStaysThere) {
  FrameParser parser(10);
  parser.Append(MakeFrame("0123456789"));
  EXPECT_THAT(Take(parser), ElementsAre("0123456789"));
  parser.Append(MakeFrame("0123456789a").substr(0, kFrameHeaderBytes));
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = parser.Next().status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("11 bytes was announced, and 10 are the limit"));
    parser.Append(MakeFrame("fine"));
  }
}

TEST(FrameTest, TheLargestNumberIsALength) {
  FrameParser parser(kMaxFrameBytes);
  parser.Append("\xff\xff\xff\xff");
  EXPECT_THAT(std::string(parser.Next().status().message()),
              HasSubstr("4294967295 bytes"));
}

TEST(FrameTest, WaitsForTheWholeLength) {
  FrameParser parser(10);
  for (const char* byte : {"\1", "\1"}) {
    EXPECT_THAT(Take(parser), IsEmpty());
    parser.Append(absl::string_view(byte, 1));
  }
  EXPECT_THAT(Take(parser), IsEmpty());
}

TEST(FrameDeathTest, WhatIsLongerIsNotMade) {
  EXPECT_DEATH(MakeFrame(std::string(kMaxFrameBytes + 1, 'x')), "1048577");
}

}  // namespace
}  // namespace instar
