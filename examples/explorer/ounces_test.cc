// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/explorer/ounces.h"

#include "examples/explorer/post.h"
#include "gtest/gtest.h"
#include "tools/explorer/explorer.h"

TEST(OuncesTest, BetweenParcelsIsRightWhereverItIsApplied) {
  const instar::ExplorerReport report =
      instar::Explore(&post::Workload, {"ounces", &post::BetweenParcels});
  EXPECT_TRUE(report.ok()) << report;
}
