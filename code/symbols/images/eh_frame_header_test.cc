// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Reading .eh_frame_hdr: on sections made by hand, the broken ones included.

#include "code/symbols/images/eh_frame_header.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "code/symbols/images/code_range.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace code_internal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uintptr_t kHeader = 0x1000;   // where .eh_frame_hdr is loaded
constexpr uintptr_t kEntries = 0x2000;  // and .eh_frame

void Append(std::string* bytes, uint32_t value) {
  bytes->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// Sections that describe these ranges.
class Sections {
 public:
  explicit Sections(const std::vector<CodeRange>& ranges) {
    header_ = std::string("\x01\x1b\x03\x3b", 4);
    Append(&header_, 0);  // the pointer to .eh_frame, which nobody reads
    Append(&header_, static_cast<uint32_t>(ranges.size()));
    for (const CodeRange& range : ranges) {
      const uintptr_t entry = kEntries + entries_.size();
      Append(&header_, static_cast<uint32_t>(range.begin - kHeader));
      Append(&header_, static_cast<uint32_t>(entry - kHeader));
      Append(&entries_, 16);  // length
      Append(&entries_, 0);   // CIE pointer
      Append(&entries_, static_cast<uint32_t>(range.begin - entry - 8));
      Append(&entries_, static_cast<uint32_t>(range.end - range.begin));
      Append(&entries_, 0);
    }
  }

  std::vector<CodeRange> Read() const {
    return ReadEhFrameHeader(kHeader, header_, [this](uintptr_t address) {
      const size_t offset = address - kEntries;
      if (offset >= entries_.size()) return absl::string_view();
      return absl::string_view(entries_).substr(offset);
    });
  }

  std::string& header() { return header_; }
  std::string& entries() { return entries_; }

 private:
  std::string header_;
  std::string entries_;
};

MATCHER_P2(Range, begin, end, "") {
  return arg.begin == static_cast<uintptr_t>(begin) &&
         arg.end == static_cast<uintptr_t>(end);
}

TEST(EhFrameHeader, ListsRangesBeforeAndBehindTheSection) {
  EXPECT_THAT(Sections({{0x10, 0x20}, {0x3000, 0x3005}}).Read(),
              ElementsAre(Range(0x10, 0x20), Range(0x3000, 0x3005)));
  EXPECT_THAT(Sections({}).Read(), IsEmpty());
}

TEST(EhFrameHeader, RefusesOtherVersionsAndEncodings) {
  for (size_t i = 0; i < 4; ++i) {
    if (i == 1) continue;  // how the pointer that nobody reads is written
    Sections sections({{0x10, 0x20}});
    sections.header()[i] = 0x0b;
    EXPECT_THAT(sections.Read(), IsEmpty()) << i;
  }
}

TEST(EhFrameHeader, RefusesACountThatDoesNotFit) {
  Sections sections({{0x10, 0x20}, {0x30, 0x40}});
  for (size_t size = 0; size < sections.header().size(); ++size) {
    Sections cut = sections;
    cut.header().resize(size);
    EXPECT_THAT(cut.Read(), IsEmpty()) << size;
  }
  const uint32_t huge = 0xffffffff;
  std::memcpy(&sections.header()[8], &huge, sizeof(huge));
  EXPECT_THAT(sections.Read(), IsEmpty());
}

TEST(EhFrameHeader, AnEntryThatCannotBeReadGivesAnEmptyRange) {
  Sections cut({{0x10, 0x20}});
  cut.entries().resize(9);
  EXPECT_THAT(cut.Read(), ElementsAre(Range(0x10, 0x10)));
  Sections of_another({{0x10, 0x20}});
  ++of_another.entries()[8];
  EXPECT_THAT(of_another.Read(), ElementsAre(Range(0x10, 0x10)));
  Sections long_format({{0x10, 0x20}});
  std::memset(&long_format.entries()[0], 0xff, 4);
  EXPECT_THAT(long_format.Read(), ElementsAre(Range(0x10, 0x10)));
}

}  // namespace
}  // namespace code_internal
}  // namespace instar
