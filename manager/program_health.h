// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a program says of its own health: how many requests it has answered, and
// how many of them not as it should.
//
//   void Answer(const Order& order) {
//     CountRequests();
//     if (!TryToAnswer(order)) CountErrors();
//   }
//
// `instarctl load --watch 30s` has an update taken back if too many of the
// requests after it are errors; `instarctl status` shows both numbers. What is
// a request, and what an error, is the program's to say.
//
// Both only grow. A child of fork() goes on from where its parent was.
//
// Threads: any; async-signal-safe.

#ifndef INSTAR_MANAGER_PROGRAM_HEALTH_H_
#define INSTAR_MANAGER_PROGRAM_HEALTH_H_

#include <cstdint>

namespace instar {

// One atomic addition, to a number that all threads share. A thread that counts
// millions in a second does well to count a batch at once.
void CountRequests(std::uint64_t count = 1);
// The same. A request that is an error is counted in both.
void CountErrors(std::uint64_t count = 1);

struct ProgramHealth {
  std::uint64_t requests = 0;
  std::uint64_t errors = 0;
};

// What has been counted so far. While others count, one of the two may be ahead
// of the other.
ProgramHealth CountedHealth();

}  // namespace instar

#endif  // INSTAR_MANAGER_PROGRAM_HEALTH_H_
