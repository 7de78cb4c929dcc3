// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// One mechanism under one workload: what an update does to the latency of
// requests, how long it takes, and what being updatable costs.

#ifndef INSTAR_EXAMPLES_MECHANISM_BENCH_MEASUREMENT_H_
#define INSTAR_EXAMPLES_MECHANISM_BENCH_MEASUREMENT_H_

#include <chrono>
#include <cstddef>
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

// Of the latencies of so many requests, in nanoseconds: each is that of some
// request, which so large a share of all did not exceed. Of fewer than a
// hundred, p99 is the longest.
struct Percentiles {
  std::size_t requests = 0;
  double p50 = 0, p99 = 0, p999 = 0, maximum = 0;
};
Percentiles PercentilesOf(std::vector<double> latencies);

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
  // Of the requests of all rounds by when they ended, in kSlots slots of kSlot
  // from kFirstSlot on, relative to the begin of the update.
  std::vector<Percentiles> over_time;
};

inline constexpr std::chrono::nanoseconds kDuring =
    std::chrono::milliseconds(20);
inline constexpr std::chrono::nanoseconds kFirstSlot =
    -std::chrono::milliseconds(5);
inline constexpr std::chrono::nanoseconds kSlot =
    std::chrono::microseconds(500);
inline constexpr int kSlots = 50;
static_assert(kFirstSlot + kSlots * kSlot == kDuring);

// Runs it. An error is what the mechanism answered, or that no request ended.
absl::StatusOr<Measurement> Measure(const Mechanism& mechanism,
                                    const Workload& workload,
                                    const Options& options);

}  // namespace mechanism_bench

#endif  // INSTAR_EXAMPLES_MECHANISM_BENCH_MEASUREMENT_H_
