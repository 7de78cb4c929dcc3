// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/program_health.h"

#include <atomic>

namespace instar {
namespace {

// Relaxed, and without partners: numbers for people, which publish nothing.
std::atomic<std::uint64_t> requests{0};
std::atomic<std::uint64_t> errors{0};

}  // namespace

void CountRequests(std::uint64_t count) {
  requests.fetch_add(count, std::memory_order_relaxed);
}

void CountErrors(std::uint64_t count) {
  errors.fetch_add(count, std::memory_order_relaxed);
}

ProgramHealth CountedHealth() {
  return {requests.load(std::memory_order_relaxed),
          errors.load(std::memory_order_relaxed)};
}

}  // namespace instar
