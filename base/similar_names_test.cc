// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/similar_names.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(EditDistanceTest, CountsLettersUpToTheLimit) {
  EXPECT_EQ(EditDistance("", "", 5), 0);
  EXPECT_EQ(EditDistance("socket", "socket", 5), 0);
  EXPECT_EQ(EditDistance("socket", "sockets", 5), 1);
  EXPECT_EQ(EditDistance("socket", "socker", 5), 1);
  EXPECT_EQ(EditDistance("sokcet", "socket", 5), 1);
  EXPECT_EQ(EditDistance("osckte", "socket", 5), 2);
  EXPECT_EQ(EditDistance("socket", "", 5), 5);
  EXPECT_EQ(EditDistance("abcdef", "uvwxyz", 3), 3);
  EXPECT_EQ(EditDistance("socket", "socket", 0), 0);
}

TEST(SimilarNamesTest, TheNearestComeFirst) {
  const std::vector<std::string> names = {"display", "sockets", "socket",
                                          "main"};
  EXPECT_THAT(SimilarNames("sockett", names), ElementsAre("socket", "sockets"));
  EXPECT_THAT(SimilarNames("Display", names), ElementsAre("display"));
  EXPECT_THAT(SimilarNames("display thread", names), ElementsAre("display"));
  EXPECT_THAT(SimilarNames("worker", names), IsEmpty());
  EXPECT_THAT(SimilarNames("", names), IsEmpty());
  EXPECT_THAT(SimilarNames("x", {}), IsEmpty());
}

TEST(SimilarNamesTest, OfManyThereAreFive) {
  std::vector<std::string> names;
  for (int i = 0; i < 20; ++i) names.push_back("worker" + std::to_string(i));
  EXPECT_EQ(SimilarNames("worker", names).size(), 5);
}

TEST(SimilarNamesTest, AsASentence) {
  EXPECT_EQ(SimilarNamesText("sokcet", {"display", "socket"}),
            "; similar: 'socket'");
  EXPECT_EQ(SimilarNamesText("x", {"display", "socket"}),
            "; there are 'display', 'socket'");
  EXPECT_EQ(SimilarNamesText("x", {"display"}), "; there is 'display'");
  EXPECT_EQ(SimilarNamesText("x", {}), "; there are none");
  EXPECT_THAT(SimilarNamesText("x", std::vector<std::string>(12, "name")),
              testing::EndsWith(", 'name' and 2 more"));
}

}  // namespace
}  // namespace instar
