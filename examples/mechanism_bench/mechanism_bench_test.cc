// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <atomic>
#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "examples/mechanism_bench/measurement.h"
#include "examples/mechanism_bench/mechanism.h"
#include "examples/mechanism_bench/report.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace mechanism_bench {
namespace {

using testing::HasSubstr;

Options Quickly() {
  Options options;
  options.threads = 2;
  options.rounds = 2;
  options.around = std::chrono::milliseconds(10);
  return options;
}

TEST(MechanismBenchTest, EveryMechanismUpdatesEveryWorkload) {
  std::vector<Measurement> measurements;
  for (const Workload& workload : AllWorkloads()) {
    for (const Mechanism& mechanism : AllMechanisms(/*objects=*/100)) {
      absl::StatusOr<Measurement> measured =
          Measure(mechanism, workload, Quickly());
      ASSERT_TRUE(measured.ok()) << measured.status();
      EXPECT_GT(measured->before.p50, 0);
      EXPECT_GE(measured->before.maximum, measured->before.p999);
      EXPECT_GT(measured->apply_maximum, 0);
      EXPECT_EQ(measured->longest.size(), static_cast<std::size_t>(kBins));
      measurements.push_back(*std::move(measured));
    }
  }
  const auto json = nlohmann::json::parse(JsonOf(measurements));
  ASSERT_EQ(json.size(), measurements.size());
  EXPECT_EQ(json[0]["mechanism"], measurements[0].mechanism);
  EXPECT_EQ(json[0]["longest"].size(), measurements[0].longest.size());
  const std::string plot = PlotOf(measurements);
  const std::string table = TableOf(measurements);
  for (const Measurement& m : measurements) {
    EXPECT_THAT(plot, HasSubstr(">" + m.mechanism + "</text>"));
    EXPECT_THAT(table, HasSubstr(m.mechanism + " "));
  }
}

// The update changes what requests answer, and its undo changes it back.
TEST(MechanismBenchTest, EveryMechanismTakesEffect) {
  std::set<std::string> unchanged;
  for (const Mechanism& mechanism : AllMechanisms(/*objects=*/100)) {
    const auto program = mechanism.make();
    const std::uint64_t before = program->Request(1);
    // Those per thread wait for a thread.
    if (mechanism.name.find("each thread") != std::string::npos) continue;
    ASSERT_TRUE(program->Apply().ok());
    if (program->Request(1) == before) unchanged.insert(mechanism.name);
    ASSERT_TRUE(program->Undo().ok());
    EXPECT_EQ(program->Request(1), before) << mechanism.name;
  }
  EXPECT_EQ(unchanged,
            (std::set<std::string>{"plain class", "plain function"}));
}

TEST(MechanismBenchTest, OnesOwn) {
  static std::atomic<int> version{1};
  const Mechanism own = {
      "one's own", "function", [] {
        const auto change = [] {
          version = 3 - version;
          return absl::OkStatus();
        };
        return ProgramOf([](std::uint64_t seed) { return seed * version; },
                         change, change);
      }};
  const absl::StatusOr<Measurement> measured =
      Measure(own, AllWorkloads()[0], Quickly());
  ASSERT_TRUE(measured.ok()) << measured.status();
  EXPECT_EQ(version, 1);
}

TEST(MechanismBenchTest, AnErrorOfAMechanismSaysWhichOne) {
  const Mechanism broken = {"broken", "function", [] {
                              return ProgramOf(
                                  [](std::uint64_t seed) { return seed; },
                                  [] { return absl::DataLossError("lost"); },
                                  [] { return absl::OkStatus(); });
                            }};
  const absl::Status status =
      Measure(broken, AllWorkloads()[0], Quickly()).status();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(status.message(), HasSubstr("broken, busy: lost"));
}

}  // namespace
}  // namespace mechanism_bench
