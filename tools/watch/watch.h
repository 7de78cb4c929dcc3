// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How it goes with processes after an update.
//
//   Watch watch(options);
//   INSTAR_RETURN_IF_ERROR(watch.Begin({program}));    // before the update
//   ... apply it ...
//   Watch::Verdict verdict = watch.Run(show, [] { return is_interrupted; });
//
// Until the time is over it is looked at:
//   whether a process has ended, and how (tools/watch/process_end.h)
//   the health command, once a second (tools/watch/health_command.h)
//   the errors that the programs count (manager/program_health.h), together;
//   what was counted before the update does not matter
//   whether the program still answers
//
// Threads: one.

#ifndef INSTAR_TOOLS_WATCH_WATCH_H_
#define INSTAR_TOOLS_WATCH_WATCH_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "manager/control/control_client.h"
#include "manager/control/control_service.h"
#include "manager/control/socket_directory.h"
#include "manager/program_health.h"
#include "tools/watch/health_command.h"
#include "tools/watch/process_end.h"

namespace instar {
namespace instarctl {

// More errors than that are too many.
struct ErrorLimit {
  // Of the requests, which count for as many as the errors if they are fewer.
  // Looked at when there were twenty, and at the end.
  double share = 0.05;
  // So many, if it is given; the share does not matter then.
  std::optional<std::uint64_t> number;

  bool IsExceeded(const ProgramHealth& counted, bool at_the_end) const;
  std::string ToString() const;  // "5 % of the requests", "10"
};

// "5%", "0.1%", "10". InvalidArgument otherwise.
absl::StatusOr<ErrorLimit> ParseErrorLimit(const std::string& text);

// "30s", "500ms", "2m", "1h30m"; without a unit: seconds. InvalidArgument if it
// is none, or not positive.
absl::StatusOr<std::chrono::nanoseconds> ParseWindow(const std::string& text);

struct WatchOptions {
  std::chrono::nanoseconds window{};  // 0: it is not watched
  std::string health;                 // a command; empty: none
  ErrorLimit errors;
};

class Watch {
 public:
  using Clock = std::chrono::steady_clock;

  enum class Kind {
    kGood,
    kFailed,   // what is still there runs with the update
    kCrashed,  // one has ended by a signal
    kEnded,    // all have ended, otherwise
    kLeft,     // it was asked to
  };
  struct Verdict {
    Kind kind = Kind::kGood;
    pid_t process = 0;   // of kCrashed and kEnded
    std::string reason;  // empty for kGood and kLeft
  };
  struct Progress {
    std::chrono::nanoseconds elapsed{};
    ProgramHealth counted;  // since the update
    int health_runs = 0;
  };

  explicit Watch(WatchOptions options);

  // Takes note of these processes, beside those that it has. Errors: those of
  // connecting, which name the process.
  absl::Status Begin(absl::Span<const RunningProgram> programs);
  // Runs the health command once: what it says before the update.
  absl::Status CheckHealth();

  // Until the window is over or something is found. `wants_to_leave` is asked
  // whenever a signal comes.
  Verdict Run(absl::FunctionRef<void(const Progress&)> show,
              const std::function<bool()>& wants_to_leave);
  // How the update's process ended, if it did so while the update was loaded.
  std::optional<Verdict> FindEnd(std::chrono::milliseconds limit);

  const WatchOptions& options() const { return options_; }
  const Progress& progress() const { return progress_; }

 private:
  struct Watched {
    RunningProgram program;
    ProcessEnd end;
    ControlClient client;
    ProgramHealth before;   // the update
    ProgramHealth counted;  // since
  };

  std::optional<Verdict> LookAtProcesses();
  std::optional<Verdict> LookAtCounts(bool at_the_end);
  std::optional<Verdict> LookAtHealth(bool at_the_end);
  absl::Status Count(Watched& watched, ProgramHealth* health);
  Verdict VerdictOf(const Watched& watched) const;

  const WatchOptions options_;
  HealthCommand health_;
  Clock::time_point next_health_;
  std::vector<Watched> watched_;
  ProgramHealth gone_;  // counted by processes that have ended
  Progress progress_;
};

}  // namespace instarctl
}  // namespace instar

#endif  // INSTAR_TOOLS_WATCH_WATCH_H_
