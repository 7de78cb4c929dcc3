// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The recursion with big integers, and how one that runs goes on with them.

#include <boost/multiprecision/cpp_int.hpp>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "examples/recaml/fibonacci.h"
#include "stack/exposed_values.h"
#include "updates/mechanisms/replace_when_held.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace recaml {
namespace {

using Big = boost::multiprecision::cpp_int;

struct BigNumbers {
  Big last;
  Big sum;
};

BigNumbers BigRecurse(int left, const Big& a, const Big& b) {
  ++calls;
  if (left == 0) return {a, 0};
  BigNumbers rest = BigRecurse(left - 1, b, a + b);
  rest.sum += a;
  return rest;
}

void BigFibonacci(int n) {
  calls = 0;
  const BigNumbers numbers = BigRecurse(n, 0, 1);
  Report(n, numbers.last.str(), numbers.sum.str());
}

// What the activations were about to do, outermost first.
struct Captured {
  int n;
  std::vector<Frame> frames;
};

// Does the rest of what activation i and those inside of it have begun. It is
// no new call.
BigNumbers Rebuild(const std::vector<Frame>& frames, std::size_t i) {
  const Big a = frames[i].a;
  const Big b = frames[i].b;
  const bool is_innermost = i + 1 == frames.size();
  if (is_innermost && frames[i].left == 0) return {a, 0};
  BigNumbers rest = is_innermost ? BigRecurse(frames[i].left - 1, b, a + b)
                                 : Rebuild(frames, i + 1);
  rest.sum += a;
  return rest;
}

void RebuildFibonacci(Captured captured) {
  const BigNumbers numbers = Rebuild(captured.frames, 0);
  Report(captured.n, numbers.last.str(), numbers.sum.str());
}

absl::StatusOr<Captured> Capture(instar::StackBounds outermost) {
  Captured captured;
  INSTAR_ASSIGN_OR_RETURN(captured.n, instar::ReadExposed<int>("n", outermost));
  INSTAR_ASSIGN_OR_RETURN(const std::vector<Frame*> frames,
                          instar::FindAllExposed<Frame>("frame"));
  // The last F() that is right in 64 bits.
  if (frames.size() > 93) {
    return absl::FailedPreconditionError(
        absl::StrCat("at depth ", frames.size(), " it has overflowed already"));
  }
  for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) {
    captured.frames.push_back(**frame);
  }
  return captured;
}

absl::Status Describe(instar::UpdatePlan& plan) {
  plan.Redefine(&Fibonacci, &BigFibonacci);  // for those that begin later
  plan.Add(instar::ReplaceWhenHeld("worker", &Fibonacci, &RebuildFibonacci,
                                   &Capture));
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("big_numbers", Describe);
}  // namespace
}  // namespace recaml
