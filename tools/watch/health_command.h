// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A command of the user's that says whether all is well: by its exit code 0.
//
//   HealthCommand command("curl -fsS localhost:8080/health");
//   INSTAR_RETURN_IF_ERROR(command.Start());
//   ...  poll() for POLLIN of command.descriptor(), up to command.deadline() ...
//   if (auto health = command.Finish()) ...
//
// It is run by `sh -c`, in a process group of its own, so that Ctrl-C at the
// terminal is not for it; without input. What it prints is kept, and the last
// line is in the error.
//
// Threads: one at a time.

#ifndef INSTAR_TOOLS_WATCH_HEALTH_COMMAND_H_
#define INSTAR_TOOLS_WATCH_HEALTH_COMMAND_H_

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "manager/module/file_descriptor.h"

namespace instar {
namespace instarctl {

class HealthCommand {
 public:
  using Clock = std::chrono::steady_clock;

  explicit HealthCommand(std::string command, std::chrono::nanoseconds limit =
                                                  std::chrono::seconds(10))
      : command_(std::move(command)), limit_(limit) {}
  HealthCommand(const HealthCommand&) = delete;
  HealthCommand& operator=(const HealthCommand&) = delete;
  ~HealthCommand() { Stop(); }

  // Error: ResourceExhausted if no process can be started. It must not run.
  absl::Status Start();
  bool is_running() const { return pid_ != 0; }
  // While it runs: becomes readable when it has ended.
  int descriptor() const { return process_.number(); }
  Clock::time_point deadline() const { return deadline_; }

  // What it says, if it has ended, or its time is up; nothing while it runs.
  std::optional<absl::Status> Finish();
  // Start(), and what it says. A signal ends nothing.
  absl::Status Run();
  // Ends it, with what it has started.
  void Stop();

 private:
  std::string LastLine() const;

  const std::string command_;
  const std::chrono::nanoseconds limit_;
  pid_t pid_ = 0;  // 0: it does not run
  Clock::time_point deadline_;
  manager_internal::FileDescriptor process_;
  manager_internal::FileDescriptor output_;
};

}  // namespace instarctl
}  // namespace instar

#endif  // INSTAR_TOOLS_WATCH_HEALTH_COMMAND_H_
