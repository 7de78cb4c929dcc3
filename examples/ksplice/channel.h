// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The functions that the patches change: values are sealed into packets,
// travel, and are opened. What was sealed comes out, as long as all three
// functions are of one version.

#ifndef INSTAR_EXAMPLES_KSPLICE_CHANNEL_H_
#define INSTAR_EXAMPLES_KSPLICE_CHANNEL_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

namespace ksplice {

struct Packet {
  std::uint64_t body = 0;
  std::uint64_t sum = 0;
};

// Changed by every patch, together.
Packet Seal(std::uint64_t value);
std::optional<std::uint64_t> Open(const Packet& packet);
void Deliver(std::uint64_t value);

// Changed by none: takes a millisecond.
void Travel();
// One delivery of that version is over: did it come out as it went in?
void Count(int version, bool is_right);

// What has been delivered by each version, and what came out wrong. Relaxed:
// figures, which nothing else is read by.
inline std::array<std::atomic<long>, 4> delivered{};
inline std::atomic<long> broken{0};

// Of each worker, for samples: it is in Travel(), and so in Deliver().
constexpr int kWorkers = 3;
struct Worker {
  std::atomic<bool> is_travelling{false};
  std::atomic<long> deliveries{0};
};
inline std::array<Worker, kWorkers> workers;
// Delivers until the program ends.
void Work(int number, const std::atomic<bool>& is_over);

}  // namespace ksplice

#endif  // INSTAR_EXAMPLES_KSPLICE_CHANNEL_H_
