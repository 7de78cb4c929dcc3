// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/mechanism_bench/measurement.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"

namespace mechanism_bench {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

struct Sample {
  Clock::time_point end;
  nanoseconds latency;
};

// The threads of a program, and what they have measured.
class Workers {
 public:
  Workers(Program& program, const Workload& workload, int threads)
      : samples_(threads) {
    for (int i = 0; i < threads; ++i) {
      // Not while threads are held: that would be measured, too.
      samples_[i].reserve(1 << 20);
      threads_.push_back(
          instar::StartPassiveThread(kWorker, [this, &program, workload, i] {
            Run(program, workload, samples_[i]);
          }));
    }
  }

  // Returns when one more request has ended: on a busy machine that may take
  // longer than any time that was given.
  void AwaitRequest() const {
    const long before = ended_.load(std::memory_order_relaxed);
    while (ended_.load(std::memory_order_relaxed) == before) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }

  // Ends them.
  std::vector<Sample> Take() {
    stop_ = true;
    threads_.clear();
    std::vector<Sample> all;
    for (const auto& own : samples_) {
      all.insert(all.end(), own.begin(), own.end());
    }
    return all;
  }

 private:
  void Run(Program& program, const Workload& workload,
           std::vector<Sample>& samples) {
    std::uint64_t seed = reinterpret_cast<std::uintptr_t>(&samples) | 1;
    while (!stop_) {
      const Clock::time_point begin = Clock::now();
      for (int i = 0; i < workload.calls; ++i) seed = program.Request(seed);
      // Behind the point: what a thread is held for is latency.
      instar::UpdatePoint();
      const Clock::time_point end = Clock::now();
      samples.push_back({end, end - begin});
      ended_.fetch_add(1, std::memory_order_relaxed);
      if (workload.pause.count() > 0) instar::SleepFor(workload.pause);
    }
  }

  std::atomic<bool> stop_{false};
  std::atomic<long> ended_{0};  // a count; nothing is read by it
  std::vector<std::vector<Sample>> samples_;
  std::vector<instar::ControlledThread> threads_;
};

double Nanoseconds(nanoseconds time) {
  return static_cast<double>(time.count());
}

// Of values that are sorted and not empty: the least that is not exceeded by
// this share of them.
double Quantile(const std::vector<double>& values, double share) {
  const auto rank = static_cast<std::size_t>(
      std::ceil(share * static_cast<double>(values.size())));
  return values[std::max<std::size_t>(rank, 1) - 1];
}

struct Round {
  Clock::time_point begin, end;  // of Apply()
};

// Which round a moment belongs to: the latest whose time before its update has
// begun; null before the first.
const Round* RoundAt(const std::vector<Round>& rounds, Clock::time_point time,
                     nanoseconds before) {
  const auto next = std::upper_bound(rounds.begin(), rounds.end(), time,
                                     [&](Clock::time_point t, const Round& r) {
                                       return t < r.begin - before;
                                     });
  return next == rounds.begin() ? nullptr : &*(next - 1);
}

void Evaluate(const std::vector<Sample>& samples,
              const std::vector<Round>& rounds, const Options& options,
              Measurement& result) {
  std::vector<double> before, during;
  std::vector<std::vector<double>> slots(kSlots);
  for (const Sample& sample : samples) {
    const Round* const round = RoundAt(rounds, sample.end, options.around);
    if (round == nullptr) continue;
    const nanoseconds since = sample.end - round->begin;
    const double latency = Nanoseconds(sample.latency);
    if (since.count() < 0) {
      before.push_back(latency);
    } else if (since < kDuring) {
      during.push_back(latency);
    }
    if (since < kFirstSlot || since >= kFirstSlot + kSlots * kSlot) continue;
    slots[(since - kFirstSlot) / kSlot].push_back(latency);
  }
  result.before = PercentilesOf(std::move(before));
  result.during = PercentilesOf(std::move(during));
  for (std::vector<double>& slot : slots) {
    result.over_time.push_back(PercentilesOf(std::move(slot)));
  }
  std::vector<double> applied;
  for (const Round& round : rounds) {
    applied.push_back(Nanoseconds(round.end - round.begin));
  }
  std::sort(applied.begin(), applied.end());
  result.apply_p50 = Quantile(applied, 0.5);
  result.apply_maximum = applied.back();
}

}  // namespace

Percentiles PercentilesOf(std::vector<double> latencies) {
  Percentiles result;
  result.requests = latencies.size();
  if (latencies.empty()) return result;
  std::sort(latencies.begin(), latencies.end());
  result.p50 = Quantile(latencies, 0.5);
  result.p99 = Quantile(latencies, 0.99);
  result.p999 = Quantile(latencies, 0.999);
  result.maximum = latencies.back();
  return result;
}

std::vector<Workload> AllWorkloads() {
  return {
      {"busy", /*calls=*/20, nanoseconds(0)},
      {"mostly waiting", /*calls=*/20, std::chrono::milliseconds(1)},
      {"long requests", /*calls=*/2000, nanoseconds(0)},
  };
}

absl::StatusOr<Measurement> Measure(const Mechanism& mechanism,
                                    const Workload& workload,
                                    const Options& options) {
  Measurement result;
  result.mechanism = mechanism.name;
  result.kind = mechanism.kind;
  result.workload = workload.name;
  const std::unique_ptr<Program> program = mechanism.make();
  std::vector<Round> rounds;
  Workers workers(*program, workload, options.threads);
  // The first one reads what the others find read.
  for (int i = -1; i < options.rounds; ++i) {
    std::this_thread::sleep_for(options.around);
    workers.AwaitRequest();
    Round round;
    round.begin = Clock::now();
    absl::Status status = program->Apply();
    round.end = Clock::now();
    if (i >= 0) rounds.push_back(round);
    if (status.ok()) {
      std::this_thread::sleep_for(std::max(options.around, kDuring));
      status = program->Undo();
    }
    if (!status.ok()) {
      workers.Take();
      return absl::Status(
          status.code(), absl::StrCat(mechanism.name, ", ", workload.name, ": ",
                                      status.message()));
    }
  }
  Evaluate(workers.Take(), rounds, options, result);
  if (result.before.requests == 0) {
    return absl::DeadlineExceededError(
        absl::StrCat(mechanism.name, ", ", workload.name,
                     ": no request ended before an update"));
  }
  return result;
}

}  // namespace mechanism_bench
