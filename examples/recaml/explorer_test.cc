// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The recursion is rebuilt wherever its thread can be updated, at each depth:
// right to the last digit, or refused where it has overflowed.

#include "tools/explorer/explorer.h"

#include <map>
#include <string>

#include "examples/recaml/fibonacci.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"

namespace recaml {
namespace {

// F(100) is wrong in 64 bits. Of an active thread, each call is a point.
void Workload() {
  instar::StartActiveThread("worker", [] { Fibonacci(100); });
}

TEST(RecamlExplorerTest, IsRightWhereverItIsApplied) {
  const instar::ExplorerReport report =
      instar::Explore(&Workload, instar::LinkedUpdateModule());
  EXPECT_TRUE(report.ok()) << report;
  using instar::PointOutcome;
  std::map<PointOutcome, int> outcomes;
  for (const instar::ExploredPoint& point : report.tried) {
    if (point.where.find("recaml::Recurse(") != std::string::npos) {
      ++outcomes[point.outcome];
    }
  }
  // When the first call begins nothing can be captured yet; from the 95th on,
  // what 94 activations hold is wrong.
  EXPECT_EQ(outcomes,
            (std::map<PointOutcome, int>{{PointOutcome::kWaits, 1},
                                         {PointOutcome::kRight, 93},
                                         {PointOutcome::kRefused, 7}}))
      << report;
}

}  // namespace
}  // namespace recaml
