// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/ksplice/channel.h"

#include <chrono>
#include <thread>

namespace ksplice {
namespace {

thread_local Worker* this_worker = nullptr;

}  // namespace

Packet Seal(std::uint64_t value) { return {value, 0}; }

std::optional<std::uint64_t> Open(const Packet& packet) { return packet.body; }

void Deliver(std::uint64_t value) {
  const Packet packet = Seal(value);
  Travel();
  Count(0, Open(packet) == value);
}

void Travel() {
  this_worker->is_travelling.store(true, std::memory_order_relaxed);
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  this_worker->is_travelling.store(false, std::memory_order_relaxed);
}

void Count(int version, bool is_right) {
  delivered[version].fetch_add(1, std::memory_order_relaxed);
  if (!is_right) broken.fetch_add(1, std::memory_order_relaxed);
}

void Work(int number, const std::atomic<bool>& is_over) {
  this_worker = &workers[number];
  for (std::uint64_t value = number; !is_over; value += kWorkers) {
    Deliver(value);
    // Release, partner: the acquire in the program's main(), which then finds
    // this delivery counted.
    this_worker->deliveries.fetch_add(1, std::memory_order_release);
  }
}

}  // namespace ksplice
