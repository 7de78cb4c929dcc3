// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/inlining/copy_list.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "code/symbols/images/name_list.h"
#include "gtest/gtest.h"

namespace instar {
namespace code_internal {
namespace {

TEST(CopyListTest, WhatIsAddedAgainAndAgainTakesNoMemory) {
  CopyList list;
  std::size_t most = 0;
  for (std::uint32_t i = 0; i < 200'000; ++i) {
    list.Add(/*of=*/i % 7, /*into=*/i % 3, /*offset=*/-16, /*size=*/i % 2);
    most = std::max(most, list.size());
  }
  EXPECT_LT(most, 20'000u);
  list.Finish();
  EXPECT_EQ(list.size(), 42u);
  ASSERT_EQ(list.Of(6).size(), 6u);
  EXPECT_EQ(list.Of(6)[5].into, 2u);
  EXPECT_EQ(list.Of(6)[5].offset, -16);
  EXPECT_TRUE(list.Of(7).empty());
  EXPECT_TRUE(list.is_complete());
}

TEST(CopyListTest, WhatDoesNotFitIsNoted) {
  CopyList list;
  list.Add(0, 0, std::int64_t{1} << 31, 1);
  EXPECT_FALSE(list.is_complete());
}

TEST(NameListTest, KeepsEachNameOnce) {
  NameList names;
  const std::string large(100'000, 'x');
  for (int round = 0; round < 2; ++round) {
    for (std::uint32_t i = 0; i < 10'000; ++i) {
      EXPECT_EQ(names.Add(absl::StrCat("name", i)), i);
    }
    EXPECT_EQ(names.Add(large), 10'000u);
  }
  names.Finish();
  EXPECT_EQ(names.size(), 10'001u);
  EXPECT_EQ(names.Find("name1234"), 1234u);
  EXPECT_EQ(names.Find(large), 10'000u);
  EXPECT_EQ(names.Find("name"), std::nullopt);
  EXPECT_EQ(names[77], "name77");
}

}  // namespace
}  // namespace code_internal
}  // namespace instar
