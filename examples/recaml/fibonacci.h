// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Fibonacci numbers by a linear recursion, in 64 bits: F(93) is the last that
// is right.

#ifndef INSTAR_EXAMPLES_RECAML_FIBONACCI_H_
#define INSTAR_EXAMPLES_RECAML_FIBONACCI_H_

#include <cstdint>
#include <optional>
#include <string>

namespace recaml {

// What one activation works on: `left` numbers are still to come, and those
// that are known last.
struct Frame {
  int left;
  std::uint64_t a;
  std::uint64_t b;
};

struct Numbers {
  std::uint64_t last;
  std::uint64_t sum;  // of those before it
};

// F(left) and F(0) + ... + F(left - 1), for a = F(0), b = F(1). Each activation
// adds its `a` to the sum when it goes on.
Numbers Recurse(int left, std::uint64_t a, std::uint64_t b);

// The outermost activation: says F(n), the sum, and the number of calls.
void Fibonacci(int n);

// Calls of Recurse() since Fibonacci() began.
extern int calls;
// Where a call waits, at an update point, to be told to go on.
extern std::optional<int> pause_at;

void Pause();
void Report(int n, const std::string& last, const std::string& sum);

void Say(const std::string& line);
std::optional<std::string> NextLine();
// The thread's main function: a Fibonacci() for each line of the input,
// "compute N" or "compute N pausing at CALLS".
void WorkerMain();

}  // namespace recaml

#endif  // INSTAR_EXAMPLES_RECAML_FIBONACCI_H_
