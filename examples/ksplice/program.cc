// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Workers that do nothing else than to call functions which are to be patched.
// They are plain threads, and come to no update point.
//
//   samples   how often each worker was inside, of 200 samples
//   deliver   waits for ten deliveries more of each worker, and says by which
//             version those were, and whether each value came out as it went in

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "examples/ksplice/channel.h"
#include "manager/manager.h"

namespace ksplice {
namespace {

void Pause() { std::this_thread::sleep_for(std::chrono::microseconds(200)); }

void Sample() {
  constexpr int kSamples = 200;
  int least = kSamples;
  std::array<int, kWorkers> inside{};
  for (int i = 0; i < kSamples; ++i) {
    for (int w = 0; w < kWorkers; ++w) {
      if (workers[w].is_travelling.load(std::memory_order_relaxed)) ++inside[w];
    }
    Pause();
  }
  for (const int count : inside) least = std::min(least, count);
  std::cout << "(at " << 100 * least / kSamples << " % of " << kSamples
            << " samples or more)\n";
  std::cout << "each worker is inside at "
            << (100 * least >= 90 * kSamples ? "90 % of all samples or more"
                                             : "less than 90 % of all samples")
            << std::endl;
}

void Await(long count) {
  for (Worker& worker : workers) {
    const long goal = worker.deliveries + count;
    // Acquire, partner: the release in Work().
    while (worker.deliveries.load(std::memory_order_acquire) < goal) Pause();
  }
}

void AwaitDeliveries() {
  Await(1);  // which had begun
  std::array<long, 4> before{};
  for (int v = 0; v < 4; ++v) before[v] = delivered[v];
  const long broken_before = broken;
  Await(10);
  std::cout << "delivered by version";
  for (int v = 0; v < 4; ++v) {
    if (delivered[v] != before[v]) std::cout << " " << v;
  }
  const bool is_right = broken == broken_before;
  std::cout << (is_right ? ", all right" : ", and some came out wrong")
            << std::endl;
}

int Main() {
  const absl::StatusOr<instar::Manager> manager = instar::Manager::Start();
  if (!manager.ok()) {
    std::cout << manager.status() << std::endl;
    return 1;
  }
  std::atomic<bool> is_over{false};
  std::vector<std::thread> threads;
  for (int w = 0; w < kWorkers; ++w) {
    threads.emplace_back(Work, w, std::cref(is_over));
  }
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "samples") Sample();
    if (line == "deliver") AwaitDeliveries();
  }
  is_over = true;
  for (std::thread& thread : threads) thread.join();
  std::cout << "(" << delivered[0] + delivered[1] + delivered[2] + delivered[3]
            << " deliveries, " << broken << " of them wrong)" << std::endl;
  return 0;
}

}  // namespace
}  // namespace ksplice

int main() { return ksplice::Main(); }
