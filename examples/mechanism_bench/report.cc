// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/mechanism_bench/report.h"

#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"

namespace mechanism_bench {
namespace {

nlohmann::ordered_json JsonOf(const Percentiles& percentiles) {
  return {{"p50", percentiles.p50},
          {"p99", percentiles.p99},
          {"p99.9", percentiles.p999},
          {"max", percentiles.maximum}};
}

// A list of each, in which a slot without requests has null.
nlohmann::ordered_json OverTime(const std::vector<Percentiles>& slots) {
  nlohmann::ordered_json lists = {{"first_slot", kFirstSlot.count()},
                                  {"slot", kSlot.count()}};
  for (const Percentiles& slot : slots) {
    lists["requests"].push_back(slot.requests);
    const nlohmann::ordered_json of_slot = JsonOf(slot);
    for (const auto& [name, value] : of_slot.items()) {
      if (slot.requests > 0) {
        lists[name].push_back(value);
      } else {
        lists[name].push_back(nullptr);
      }
    }
  }
  return lists;
}

double Us(double nanoseconds) { return nanoseconds / 1000; }

}  // namespace

std::string TableOf(const std::vector<Measurement>& measurements) {
  std::string table =
      absl::StrFormat("%-39s %-15s %21s %29s %19s %6s\n", "", "", "before, us",
                      "from its begin, us", "to apply, us", "cost");
  absl::StrAppendFormat(
      &table, "%-39s %-15s %10s %10s %9s %9s %9s %9s %9s %6s\n", "mechanism",
      "workload", "p50", "p99.9", "p50", "p99.9", "max", "p50", "max", "");
  for (const Measurement& m : measurements) {
    absl::StrAppendFormat(
        &table,
        "%-39s %-15s %10.1f %10.1f %9.1f %9.1f %9.1f %9.1f %9.1f %5.2fx\n",
        m.mechanism, m.workload, Us(m.before.p50), Us(m.before.p999),
        Us(m.during.p50), Us(m.during.p999), Us(m.during.maximum),
        Us(m.apply_p50), Us(m.apply_maximum), m.cost);
  }
  return table;
}

std::string JsonOf(const std::vector<Measurement>& measurements) {
  auto all = nlohmann::ordered_json::array();
  for (const Measurement& m : measurements) {
    all.push_back({{"mechanism", m.mechanism},
                   {"kind", m.kind},
                   {"workload", m.workload},
                   {"latency_before", JsonOf(m.before)},
                   {"latency_during", JsonOf(m.during)},
                   {"apply", {{"p50", m.apply_p50}, {"max", m.apply_maximum}}},
                   {"cost", m.cost},
                   {"over_time", OverTime(m.over_time)}});
  }
  return all.dump(1) + "\n";
}

}  // namespace mechanism_bench
