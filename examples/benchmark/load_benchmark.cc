// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// From a command on an open connection to the update applied: the site manager,
// whose threads wait in blocking calls, and its update add_ratings, stripped.
// Each time it is another file, as it is when an update comes that the program
// has never seen: `again` loads the same file, of which the program knows the
// symbols.
//
// The parts are what the program itself tells of each update; `round_trip` is
// a request on the same connection that does nothing, and the limit.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "examples/example_program.h"
#include "manager/control/control_client.h"
#include "manager/control/control_service.h"

namespace site_manager {
namespace {

using instar::ControlClient;
using std::chrono::duration;
using std::chrono::nanoseconds;

// Every load leaves a module in the program.
constexpr int kLoadsOfOneProgram = 20;

enum class Module { kNew, kSame };

template <typename Result>
Result Value(absl::StatusOr<Result> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(result);
}

// The example's program and a connection to it.
class Connected {
 public:
  Connected() : program_({"--period=3600"}), client_(program_.Control()) {
    // The first request waits until the program's symbols have been read.
    Value(client_.Load(ModulePath(kModule)));
    Value(client_.Undo());
  }
  ControlClient& client() { return client_; }

  std::string Path(Module module) {
    if (module == Module::kSame) return ModulePath(kModule);
    const std::string copy =
        absl::StrCat(copies_.path(), "/", ++copies_made_, ".so");
    std::filesystem::copy(ModulePath(kModule), copy);
    return copy;
  }

 private:
  static constexpr const char* kModule = "add_ratings_stripped";

  TemporaryDirectory copies_;
  int copies_made_ = 0;
  ExampleProgram program_;
  ControlClient client_;
};

double Microseconds(nanoseconds time) {
  return duration<double, std::micro>(time).count();
}

void Load(benchmark::State& state, Module module) {
  Connected connected;
  instar::UpdateReport sum;
  for (auto _ : state) {
    const std::string path = connected.Path(module);
    const auto begin = std::chrono::steady_clock::now();
    const instar::UpdateReport report = Value(connected.client().Load(path));
    state.SetIterationTime(
        duration<double>(std::chrono::steady_clock::now() - begin).count());
    sum.queued += report.queued;
    sum.loading += report.loading;
    sum.preparing += report.preparing;
    sum.applying += report.applying;
    sum.hold_times.maximum += report.hold_times.maximum;
    Value(connected.client().Undo());
  }
  const auto mean = [&](nanoseconds time) {
    return benchmark::Counter(Microseconds(time),
                              benchmark::Counter::kAvgIterations);
  };
  state.counters["queued_us"] = mean(sum.queued);
  state.counters["loading_us"] = mean(sum.loading);
  state.counters["preparing_us"] = mean(sum.preparing);
  state.counters["applying_us"] = mean(sum.applying);
  state.counters["held_us"] = mean(sum.hold_times.maximum);
}

void RoundTrip(benchmark::State& state) {
  Connected connected;
  for (auto _ : state) Value(connected.client().Program());
}

BENCHMARK_CAPTURE(Load, new_file, Module::kNew)
    ->Name("load_update/instar")
    ->UseManualTime()
    ->Iterations(kLoadsOfOneProgram);
BENCHMARK_CAPTURE(Load, same_file, Module::kSame)
    ->Name("load_update/again")
    ->UseManualTime()
    ->Iterations(kLoadsOfOneProgram);
BENCHMARK(RoundTrip)->Name("load_update/limit")->UseRealTime();

}  // namespace
}  // namespace site_manager

int main(int argc, char** argv) {
  // Where the program and its module are found.
  std::error_code no_runfiles;
  std::filesystem::current_path(std::string(argv[0]) + ".runfiles/instar",
                                no_runfiles);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
