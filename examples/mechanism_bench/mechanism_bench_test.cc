// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "examples/mechanism_bench/measurement.h"
#include "examples/mechanism_bench/mechanism.h"
#include "examples/mechanism_bench/report.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "threads/attempt.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/quiescence/stopped_world.h"

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
      ASSERT_EQ(measured->over_time.size(), static_cast<std::size_t>(kSlots));
      // What ended since the begin is in one slot each.
      std::size_t requests = 0;
      double longest = 0;
      for (int i = static_cast<int>(-kFirstSlot / kSlot); i < kSlots; ++i) {
        const Percentiles& slot = measured->over_time[i];
        requests += slot.requests;
        longest = std::max(longest, slot.maximum);
        EXPECT_LE(slot.p50, slot.p99);
        EXPECT_LE(slot.p99, slot.maximum);
      }
      EXPECT_EQ(requests, measured->during.requests);
      EXPECT_EQ(longest, measured->during.maximum);
      measurements.push_back(*std::move(measured));
    }
  }
  const auto json = nlohmann::json::parse(JsonOf(measurements));
  ASSERT_EQ(json.size(), measurements.size());
  EXPECT_EQ(json[0]["mechanism"], measurements[0].mechanism);
  for (const char* name : {"requests", "p50", "p99", "max"}) {
    EXPECT_EQ(json[0]["over_time"][name].size(),
              measurements[0].over_time.size());
  }
  const std::string plot = PlotOf(measurements);
  const std::string table = TableOf(measurements);
  for (const Measurement& m : measurements) {
    EXPECT_THAT(plot, HasSubstr(">" + m.mechanism + "</text>"));
    EXPECT_THAT(table, HasSubstr(m.mechanism + " "));
  }
}

TEST(MechanismBenchTest, PercentilesAreThoseOfSomeRequest) {
  std::vector<double> latencies;
  for (int i = 1000; i > 0; --i) latencies.push_back(i);
  Percentiles of = PercentilesOf(latencies);
  EXPECT_EQ(of.requests, 1000u);
  EXPECT_EQ(of.p50, 500);
  EXPECT_EQ(of.p99, 990);
  EXPECT_EQ(of.p999, 999);
  EXPECT_EQ(of.maximum, 1000);
  of = PercentilesOf({3, 1, 2});
  EXPECT_EQ(of.p50, 2);
  EXPECT_EQ(of.p99, 3);
  EXPECT_EQ(PercentilesOf({4}).p50, 4);
  EXPECT_EQ(PercentilesOf({}).requests, 0u);
}

TEST(MechanismBenchTest, OverTime) {
  Measurement m;
  m.mechanism = "one";
  m.kind = "function";
  m.workload = "busy";
  // Nothing ended in the second slot.
  m.over_time = {PercentilesOf({1e5, 3e5, 2e5}), Percentiles(),
                 PercentilesOf({1e4})};
  const auto over_time = nlohmann::json::parse(JsonOf({m}))[0]["over_time"];
  EXPECT_EQ(over_time["first_slot"], kFirstSlot.count());
  EXPECT_EQ(over_time["slot"], kSlot.count());
  EXPECT_EQ(over_time["requests"], nlohmann::json({3, 0, 1}));
  EXPECT_EQ(over_time["p50"], nlohmann::json({2e5, nullptr, 1e4}));
  EXPECT_EQ(over_time["p99"], nlohmann::json({3e5, nullptr, 1e4}));
  EXPECT_EQ(over_time["max"], nlohmann::json({3e5, nullptr, 1e4}));
  // A row for each percentile, with a line from slot to slot that is not empty.
  const std::string plot = PlotOf({m});
  for (const char* row : {"p50", "p99", "longest"}) {
    EXPECT_THAT(plot, HasSubstr(absl::StrCat(">function: ", row, "</text>")));
  }
  // In a panel of 260 by 140, for 25 ms and from 10 us to 100 ms.
  EXPECT_THAT(plot, HasSubstr("points='2.6,94.5 13.0,140.0 '"));
  EXPECT_THAT(plot, HasSubstr("points='2.6,88.3 13.0,140.0 '"));
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

// A mechanism of one's own: the table that requests are answered from is
// replaced by its next version.
const std::uint64_t table[] = {1, 2, 3, 4};
const std::uint64_t next_table[] = {5, 6, 7, 8};
const std::uint64_t* current = table;

std::uint64_t LookUp(std::uint64_t seed) { return current[seed % 4]; }

class SwapTable final : public instar::Mechanism {
 public:
  std::string name() const override { return "swap the table"; }
  instar::Attempt Apply(const instar::StoppedWorld&) override {
    std::swap(current, other_);
    return instar::Attempt::Done();
  }
  instar::Attempt Undo(const instar::StoppedWorld& world) override {
    return Apply(world);
  }

 private:
  const std::uint64_t* other_ = next_table;
};

TEST(MechanismBenchTest, AMechanismOfOnesOwn) {
  std::vector<Mechanism> mechanisms;
  mechanisms.push_back(
      {"my own", "function",
       [] { return ProgramOf(&LookUp, std::make_shared<SwapTable>()); }});

  const auto program = mechanisms[0].make();
  EXPECT_EQ(program->Request(1), 2u);
  ASSERT_TRUE(program->Apply().ok());
  EXPECT_EQ(program->Request(1), 6u);
  ASSERT_TRUE(program->Undo().ok());
  EXPECT_EQ(program->Request(1), 2u);

  for (const Workload& workload : AllWorkloads()) {
    const absl::StatusOr<Measurement> measured =
        Measure(mechanisms[0], workload, Quickly());
    ASSERT_TRUE(measured.ok()) << measured.status();
    EXPECT_GT(measured->apply_maximum, 0);
  }
  EXPECT_EQ(current, table);
}

TEST(MechanismBenchTest, CallablesOfOnesOwn) {
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
