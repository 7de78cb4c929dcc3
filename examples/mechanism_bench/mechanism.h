// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A mechanism as the bench sees it: a program that is written for it, and how
// that is updated. One's own is one line more in main.cc:
//
//   mechanisms.push_back({"my own", "function", [] {
//     return ProgramOf(&MyRequest, std::make_shared<MyMechanism>());
//   }});
//
// where MyMechanism is an instar::Mechanism (updates/mechanisms/mechanism.h)
// that changes what MyRequest() answers.

#ifndef INSTAR_EXAMPLES_MECHANISM_BENCH_MECHANISM_H_
#define INSTAR_EXAMPLES_MECHANISM_BENCH_MECHANISM_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "updates/mechanisms/mechanism.h"

namespace mechanism_bench {

class Program {
 public:
  virtual ~Program() = default;

  // Some work, by any of the program's threads, between two update points.
  // Answers what the next seed is.
  virtual std::uint64_t Request(std::uint64_t seed) = 0;

  // By a thread that is none of the program's. When Apply() has returned, the
  // update has taken effect as far as the mechanism promises. They are called
  // in turn.
  virtual absl::Status Apply() = 0;
  virtual absl::Status Undo() = 0;
};

struct Mechanism {
  std::string name;
  // What is updated: "function" or "class". Mechanisms are compared to the
  // first one of the same kind, which should be none at all.
  std::string kind;
  // A new program, before its threads start.
  std::function<std::unique_ptr<Program>()> make;
};

// A program that makes this request, and a mechanism that updates it: at a
// rendezvous of its threads, as in a plan of its own.
std::unique_ptr<Program> ProgramOf(
    std::function<std::uint64_t(std::uint64_t)> request,
    std::shared_ptr<instar::Mechanism> mechanism);

// Of three callables: what is updated in another way.
std::unique_ptr<Program> ProgramOf(
    std::function<std::uint64_t(std::uint64_t)> request,
    std::function<absl::Status()> apply, std::function<absl::Status()> undo);

// Those of the library. `objects`: how many objects of the class there are.
std::vector<Mechanism> AllMechanisms(std::size_t objects);

// The name of the program's threads.
inline constexpr char kWorker[] = "worker";

}  // namespace mechanism_bench

#endif  // INSTAR_EXAMPLES_MECHANISM_BENCH_MECHANISM_H_
