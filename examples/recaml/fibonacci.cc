// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/recaml/fibonacci.h"

#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "stack/exposed_values.h"
#include "threads/blocking_region.h"
#include "threads/update_point.h"

namespace recaml {

int calls = 0;
std::optional<int> pause_at;

Numbers Recurse(int left, std::uint64_t a, std::uint64_t b) {
  Frame frame = {left, a, b};
  instar::ExposedValue expose_frame("frame", frame);
  if (++calls == pause_at) Pause();
  if (left == 0) return {a, 0};
  const Numbers rest = Recurse(left - 1, b, a + b);
  return {rest.last, rest.sum + a};
}

void Fibonacci(int n) {
  instar::ExposedValue expose_n("n", n);
  calls = 0;
  const Numbers numbers = Recurse(n, 0, 1);
  Report(n, std::to_string(numbers.last), std::to_string(numbers.sum));
}

namespace {

std::string Short(const std::string& digits) {
  return digits.size() <= 20 ? digits
                             : absl::StrCat(digits.substr(0, 10), "...",
                                            digits.substr(digits.size() - 10));
}

// Without waiting.
bool IsThereALine() {
  pollfd input = {STDIN_FILENO, POLLIN, 0};
  return poll(&input, 1, /*ms*/ 1) > 0;
}

}  // namespace

void Report(int n, const std::string& last, const std::string& sum) {
  Say(absl::StrCat("(", last, ")"));
  Say(absl::StrCat("(", sum, ")"));
  Say(absl::StrCat("F(", n, ") = ", Short(last), ", ", last.size(),
                   " digits; those before it add up to ", Short(sum), "; ",
                   calls, " calls"));
}

void Pause() {
  Say(absl::StrCat("paused at depth ", calls));
  // In an update point an activation can be replaced; in a blocking region not.
  while (!IsThereALine()) instar::UpdatePoint();
  NextLine();
}

void Say(const std::string& line) { std::cout << line << std::endl; }

std::optional<std::string> NextLine() {
  std::string line;
  for (char byte; read(STDIN_FILENO, &byte, 1) == 1; line += byte) {
    if (byte == '\n') return line;
  }
  return std::nullopt;
}

void WorkerMain() {
  while (true) {
    instar::AwaitReadable(STDIN_FILENO);
    const std::optional<std::string> line = NextLine();
    if (!line.has_value()) return;
    int n = 0;
    int pause = 0;
    const int read =
        std::sscanf(line->c_str(), "compute %d pausing at %d", &n, &pause);
    pause_at.reset();
    if (read == 2) pause_at = pause;
    if (read >= 1) Fibonacci(n);
    instar::UpdatePoint();
  }
}

}  // namespace recaml
