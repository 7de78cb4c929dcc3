// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
//   tools/bazelw run //examples/recaml:demo

#include <boost/multiprecision/cpp_int.hpp>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "examples/scenario/scenario.h"

namespace {

using Big = boost::multiprecision::cpp_int;

// F(n) and F(n + 1), by doubling: another way than that of the program.
std::pair<Big, Big> Fibonacci(int n) {
  if (n == 0) return {0, 1};
  const auto [a, b] = Fibonacci(n / 2);
  const Big c = a * (2 * b - a);
  const Big d = a * a + b * b;
  return n % 2 == 0 ? std::pair<Big, Big>(c, d) : std::pair<Big, Big>(d, c + d);
}

// What the program says next: right to the last digit, or not.
void HearResult(examples::Scenario& scenario, bool is_to_be_right) {
  const std::string line = scenario.Hear();
  const auto [last, next] = Fibonacci(10000);
  const std::vector<std::string> right = {"(" + last.str() + ")",
                                          "(" + Big(next - 1).str() + ")"};
  const bool is_right = scenario.figures() == right;
  scenario.Say(is_right ? "That is right to the last digit."
                        : "That is wrong.");
  scenario.Check(is_right == is_to_be_right, "expected otherwise");
  scenario.Check(line.find("; 10001 calls") != std::string::npos,
                 "not as many calls as there are numbers");
}

void Pause(examples::Scenario& scenario, int depth) {
  scenario.Tell("compute 10000 pausing at " + std::to_string(depth));
  scenario.Hear();
}

}  // namespace

int main(int argc, char** argv) {
  examples::Scenario scenario(argc, argv, "examples/recaml");
  scenario.Chapter("Without an update it overflows");
  Pause(scenario, 80);
  scenario.Tell("go on");
  HearResult(scenario, false);

  scenario.Chapter("Too late: what it knows is wrong already");
  Pause(scenario, 100);
  scenario.Refused("big_numbers", std::chrono::seconds(60),
                   "at depth 100 it has overflowed already");
  scenario.Tell("go on");
  HearResult(scenario, false);

  scenario.Chapter("In time: 80 activations are rebuilt with big integers");
  Pause(scenario, 80);
  scenario.Load("big_numbers");
  HearResult(scenario, true);

  scenario.Chapter("Computations that begin later use them, too");
  scenario.Tell("compute 10000");
  HearResult(scenario, true);

  scenario.Chapter("It cannot be taken back");
  scenario.Undo();
  scenario.Check(!scenario.report().has_value(), "it was taken back");
  return scenario.End();
}
