// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How long each request takes while the server is updated, for each way to
// convert the entries. Writes eagerly.csv, lazily.csv and progressively.csv,
// which plot_latencies.py draws:
//
//   tools/bazelw run -c opt //examples/ginseng:latency -- --directory=/tmp
//   examples/ginseng/plot_latencies.py --output=/tmp/latencies.svg
//       --from=-0.1 --to=0.5 /tmp/{eagerly,lazily,progressively}.csv
//
// A line has what it is about, when that was due or began, and how long it
// took, both in microseconds. Time 0 is when the update is asked for:
//
//   what,since_us,took_us
//   get,-100.5,80.3             also "set"
//   update,0,31000              until it is said to be applied
//   converted,0,250000          until there is no old entry; not: lazily
//
// Exit code 1 if an answer was lost or wrong.

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>
#include <thread>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "examples/ginseng/load.h"
#include "examples/servers/running_server.h"
#include "manager/control/control_client.h"
#include "manager/control/control_service.h"

namespace ginseng {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  LoadOptions load;
  int before = 0, after = 0;  // answers of each client
  std::string directory;
};

double Microseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::micro>(duration).count();
}

// Until the background is through with them.
void AwaitConverted(const servers::RunningServer& server) {
  instar::ControlClient control = server.Control();
  while (true) {
    const auto status = control.Status();
    if (!status.ok()) return;
    std::size_t old = 0;
    for (const instar::ObjectCounts& counts : status->classes) {
      old += counts.OfVersion("ginseng::Entry") + counts.being_converted;
    }
    if (old == 0) return;
    // It should not be slowed down by being asked.
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// False: something went wrong.
bool Measure(const std::string& how, const Options& options) {
  servers::RunningServer server("examples/ginseng/cache_server", {});
  const std::string module = server.ModulePath("expire_" + how);
  // What is read of the program once is read before.
  const auto check = server.Control().Check(module);
  Load load(server.port(), options.load);
  load.AwaitAnswers(options.before);
  const Clock::time_point begin = Clock::now();
  const auto report = server.Control().Load(module);
  const Clock::time_point applied = Clock::now();
  if (!check.ok() || !report.ok()) {
    std::cerr << how << ": " << check.status() << ", " << report.status()
              << "\n";
    return false;
  }
  std::optional<Clock::time_point> converted;
  if (how != "lazily") {
    AwaitConverted(server);
    converted = Clock::now();
  }
  load.AwaitAnswers(options.after);
  const LoadReport answers = load.Stop();

  const std::filesystem::path path =
      std::filesystem::path(options.directory) / (how + ".csv");
  std::ofstream file(path);
  const auto line = [&](const char* what, Clock::time_point at,
                        Clock::duration took) {
    file << absl::StrFormat("%s,%.1f,%.1f\n", what, Microseconds(at - begin),
                            Microseconds(took));
  };
  file << "what,since_us,took_us\n";
  for (const Answered& answered : answers.answers) {
    line(answered.is_change ? "set" : "get", answered.due, answered.latency);
  }
  line("update", begin, applied - begin);
  if (converted.has_value()) line("converted", begin, *converted - begin);
  file.close();
  if (!file) {
    std::cerr << path.string() << " cannot be written\n";
    return false;
  }
  std::cout << how << ": " << answers.answers.size() << " answers, "
            << answers.wrong << " lost or wrong; threads were held for at most "
            << Microseconds(report->hold_times.maximum) / 1000 << " ms, "
            << report->attempts << " attempts; " << path.string() << std::endl;
  if (answers.wrong > 0) std::cerr << answers.first_wrong << "\n";
  return server.End() == 0 && answers.wrong == 0;
}

int Main(int argc, char** argv) {
  Options options;
  options.load.entries = 1000000;
  int interval = 500;
  options.before = 1000;
  options.after = 1000;
  CLI::App flags("How long each request takes while the server is updated.");
  flags.add_option("--directory", options.directory, "where the results go")
      ->required()
      ->check(CLI::ExistingDirectory);
  flags.add_option("--entries", options.load.entries)
      ->check(CLI::Range(100, 100000000))
      ->capture_default_str();
  flags.add_option("--clients", options.load.clients)
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  flags.add_option("--interval", interval, "of a client's requests; us")
      ->check(CLI::Range(0, 1000000))
      ->capture_default_str();
  flags.add_option("--before", options.before, "requests of each client")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  flags.add_option("--after", options.after, "requests of each client")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  CLI11_PARSE(flags, argc, argv);
  options.load.interval = std::chrono::microseconds(interval);
  bool is_right = true;
  for (const char* const how : {"eagerly", "lazily", "progressively"}) {
    is_right = Measure(how, options) && is_right;
  }
  return is_right ? 0 : 1;
}

}  // namespace
}  // namespace ginseng

int main(int argc, char** argv) { return ginseng::Main(argc, argv); }
