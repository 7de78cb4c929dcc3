// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs mechanisms of dynamic updating against workloads, and writes what they
// do to the program: how long requests take while an update is applied, how
// long that takes, and what it costs to be updatable.
//
//   bazel run -c opt //examples/mechanism_bench -- --svg=/tmp/mechanisms.svg
//
// A mechanism of one's own is one more line below (mechanism.h).

#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "examples/mechanism_bench/measurement.h"
#include "examples/mechanism_bench/mechanism.h"
#include "examples/mechanism_bench/report.h"

namespace {

using mechanism_bench::Measurement;
using mechanism_bench::Mechanism;

bool Write(const std::string& path, const std::string& text) {
  if (path.empty()) return true;
  std::ofstream file(path);
  if (file << text && file.flush()) return true;
  std::cerr << "mechanism_bench: " << path << " cannot be written\n";
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  mechanism_bench::Options options;
  std::size_t objects = 100000;
  std::string only, json, svg;
  CLI::App app("Compares mechanisms of dynamic updating.");
  app.add_option("--threads", options.threads, "threads of each program")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--objects", objects, "objects of the class")
      ->check(CLI::Range(1, 100000000))
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "updates, each with its undo")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  app.add_option("--only", only,
                 "mechanisms whose name contains this, and the plain ones");
  app.add_option("--json", json, "writes all that was measured to this file");
  app.add_option("--svg", svg, "writes a plot to this file");
  CLI11_PARSE(app, argc, argv);

  std::vector<Mechanism> mechanisms = mechanism_bench::AllMechanisms(objects);

  std::vector<Measurement> measurements;
  for (const auto& workload : mechanism_bench::AllWorkloads()) {
    std::string kind;
    double plain = 0;
    for (const Mechanism& mechanism : mechanisms) {
      const bool is_plain = mechanism.kind != kind;
      if (!is_plain && !absl::StrContains(mechanism.name, only)) continue;
      std::cerr << workload.name << ": " << mechanism.name << "\n";
      absl::StatusOr<Measurement> measured =
          mechanism_bench::Measure(mechanism, workload, options);
      if (!measured.ok()) {
        std::cerr << "mechanism_bench: " << measured.status().message() << "\n";
        return 1;
      }
      if (is_plain) plain = measured->before.p50;
      kind = mechanism.kind;
      measured->cost = measured->before.p50 / plain;
      measurements.push_back(*std::move(measured));
    }
  }
  std::cout << mechanism_bench::TableOf(measurements);
  return Write(json, mechanism_bench::JsonOf(measurements)) &&
                 Write(svg, mechanism_bench::PlotOf(measurements))
             ? 0
             : 1;
}
