// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Why Deliver() is in each patch, although only its number changes: a patch of
// the functions that it calls, one after the other, is tried wherever a worker
// can be updated; and a whole one, too.

#include "tools/explorer/explorer.h"

#include <atomic>
#include <cstdint>
#include <iostream>
#include <map>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "examples/ksplice/channel.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "updates/update_plan.h"

namespace ksplice {
namespace {

void Workload() {
  instar::StartActiveThread("worker", [] {
    Work(0, std::atomic<bool>(true));  // says which worker it is, no more
    for (std::uint64_t value = 1; value <= 3; ++value) {
      Deliver(value);
      std::cout << "value " << value << ": " << delivered[0] << " and "
                << delivered[1] << " delivered, " << broken << " broken"
                << std::endl;
    }
  });
}

Packet NewSeal(std::uint64_t value) { return {~value, 0}; }

std::optional<std::uint64_t> NewOpen(const Packet& packet) {
  return ~packet.body;
}

absl::Status WithoutDeliver(instar::UpdatePlan& plan) {
  plan.Redefine(&Seal, &NewSeal);
  plan.Redefine(&Open, &NewOpen);
  return absl::OkStatus();
}

using Outcomes = std::map<instar::PointOutcome, int>;
std::map<std::string, Outcomes> OutcomesOf(
    const instar::ExplorerReport& report) {
  std::map<std::string, Outcomes> outcomes;
  for (const instar::ExploredPoint& point : report.tried) {
    ++outcomes[point.where][point.outcome];
  }
  return outcomes;
}

// Right is that nothing is broken: how many were delivered by which version
// depends on where it was applied.
instar::ExplorerOptions NothingIsBroken() {
  instar::ExplorerOptions options;
  options.judge = [](const instar::ExploredRun& run) {
    for (const std::string& line : run.output) {
      if (line.find(" 0 broken") == std::string::npos) {
        return absl::InternalError(line);
      }
    }
    return absl::OkStatus();
  };
  return options;
}

constexpr char kSeal[] = "entry of ksplice::Seal(unsigned long)";
constexpr char kTravel[] = "entry of ksplice::Travel()";
constexpr char kDeliver[] = "entry of ksplice::Deliver(unsigned long)";

TEST(KspliceExplorerTest, APatchWithoutTheCallerIsCaught) {
  const instar::ExplorerReport report = instar::Explore(
      &Workload, {"without_deliver", &WithoutDeliver}, NothingIsBroken());
  EXPECT_TRUE(report.status.ok()) << report;
  auto outcomes = OutcomesOf(report);
  EXPECT_EQ(outcomes[kDeliver], (Outcomes{{instar::PointOutcome::kRight, 3}}));
  EXPECT_EQ(outcomes[kSeal], (Outcomes{{instar::PointOutcome::kRight, 3}}));
  EXPECT_EQ(outcomes[kTravel], (Outcomes{{instar::PointOutcome::kWrong, 3}}))
      << report;
}

TEST(KspliceExplorerTest, AWholePatchIsRightWhereverItIsApplied) {
  const instar::ExplorerReport report = instar::Explore(
      &Workload, instar::LinkedUpdateModule(), NothingIsBroken());
  EXPECT_TRUE(report.ok()) << report;
  auto outcomes = OutcomesOf(report);
  EXPECT_EQ(outcomes[kDeliver], (Outcomes{{instar::PointOutcome::kRight, 3}}));
  EXPECT_EQ(outcomes[kTravel], (Outcomes{{instar::PointOutcome::kWaits, 3}}))
      << report;
}

}  // namespace
}  // namespace ksplice
