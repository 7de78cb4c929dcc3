// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// One mechanism under one workload: what an update does to the latency of
// requests, how long it takes, and what being updatable costs.

#ifndef INSTAR_EXAMPLES_MECHANISM_BENCH_MEASUREMENT_H_
#define INSTAR_EXAMPLES_MECHANISM_BENCH_MEASUREMENT_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "examples/mechanism_bench/mechanism.h"

namespace mechanism_bench {

// What each thread does: requests of so many calls, an update point after each,
// and then a pause in a blocking region.
struct Workload {
  std::string name;
  int calls = 1;
  std::chrono::nanoseconds pause{0};
};
std::vector<Workload> AllWorkloads();

struct Options {
  // More than there are processors measure the scheduler, too.
  int threads = 2;
  // Each is one update and its undo.
  int rounds = 20;
  // Before an update, and after it.
  std::chrono::nanoseconds around = std::chrono::milliseconds(30);
};

// Of latencies, in nanoseconds.
struct Percentiles {
  double p50 = 0, p99 = 0, p999 = 0, maximum = 0;
};

struct Measurement {
  std::string mechanism;
  std::string kind;
  std::string workload;
  Percentiles before;  // of requests while nothing is updated
  Percentiles during;  // of those that ended in the `kDuring` from its begin
  // From the call of Apply() to its return, in nanoseconds.
  double apply_p50 = 0, apply_maximum = 0;
  // `before.p50` as a ratio to that of the first mechanism of this kind.
  double cost = 1;
  // The longest request by when it ended, in bins of kBin from kFirstBin on,
  // relative to the begin of the update: the median of all rounds, in
  // nanoseconds; 0 where none ended.
  std::vector<double> longest;
};

inline constexpr std::chrono::nanoseconds kDuring =
    std::chrono::milliseconds(20);
inline constexpr std::chrono::nanoseconds kFirstBin =
    -std::chrono::milliseconds(5);
inline constexpr std::chrono::nanoseconds kBin = std::chrono::microseconds(250);
inline constexpr int kBins = 100;

// Runs it. An error is what the mechanism answered, or that no request ended.
absl::StatusOr<Measurement> Measure(const Mechanism& mechanism,
                                    const Workload& workload,
                                    const Options& options);

}  // namespace mechanism_bench

#endif  // INSTAR_EXAMPLES_MECHANISM_BENCH_MEASUREMENT_H_
