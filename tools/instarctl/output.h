// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What instarctl says of the reports of a program: text for people. (For
// programs there is --json: manager/control/report_json.h.)
//
// Each function returns whole lines. With `Style::is_terminal` they have
// colours, and what changes all the time (how long, how many) is shown;
// without, lines stay the same as long as nothing happens, so that a log can
// leave out those that it has.
//
// Threads: all functions may be called from any thread; times of day are local.

#ifndef INSTAR_TOOLS_INSTARCTL_OUTPUT_H_
#define INSTAR_TOOLS_INSTARCTL_OUTPUT_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "manager/control/control_service.h"
#include "manager/control/report_json.h"
#include "manager/control/socket_directory.h"

namespace instar {
namespace instarctl {

using Lines = std::vector<std::string>;

struct Style {
  bool is_terminal = false;
  bool has_colours = false;

  std::string Bold(absl::string_view text) const;
  std::string Good(absl::string_view text) const;
  std::string Bad(absl::string_view text) const;
  std::string Waiting(absl::string_view text) const;
  std::string Faint(absl::string_view text) const;
};

// A process that can be updated, and what it says of itself.
struct ListedProgram {
  RunningProgram program;
  absl::StatusOr<StatusReport> status;
  // Else it starts one when a command is for it
  // (manager/control/sleeping_processes.h), and the status says so.
  bool has_manager = true;
  // Among those that are listed, and of the same name; by ArrangeAsTree().
  pid_t parent = 0;  // 0: none
  int depth = 0;     // below the one without a parent
};

// Puts each process behind its parent: the nearest of its forebears that is
// listed under the same name. Otherwise they keep their order. `parent_of` says
// which process has made one; 0: it is not known.
void ArrangeAsTree(absl::FunctionRef<pid_t(pid_t)> parent_of,
                   std::vector<ListedProgram>& programs);

// ps, those with parents behind them. `now` is what "up" is counted to.
Lines ProgramLines(const std::vector<ListedProgram>& programs, SystemTime now,
                   const Style& style);

// The same for programs: docs/control_protocol.md. `hints` is what is known of
// others.
std::string ProgramsToJson(const std::vector<ListedProgram>& programs,
                           const std::vector<std::string>& hints);

// status
Lines StatusLines(const StatusReport& status, SystemTime now,
                  const Style& style);

// check
Lines CheckLines(const CheckReport& check, const Style& style);

// load and undo, at the end
Lines UpdateLines(PendingKind kind, const UpdateReport& update,
                  const Style& style);

// load and undo, until then: what `pending`, one of `status`, waits for, and
// how far each thread is.
Lines WaitingLines(const StatusReport& status, const PendingReport& pending,
                   const Style& style);

// log
Lines UnloadLines(const UnloadReport& report);

Lines LogLines(const JournalReport& journal, const Style& style);

// "85 us", "1.2 ms", "1.6 s", "3 min 20 s", "5 h 0 min"
std::string FormatDuration(std::chrono::nanoseconds duration);
// "512 bytes", "20.0 KiB"
std::string FormatSize(std::size_t bytes);
// "[#####.....]  50 %  40 of 80 objects"
std::string FormatBar(std::size_t done, std::size_t total);

}  // namespace instarctl
}  // namespace instar

#endif  // INSTAR_TOOLS_INSTARCTL_OUTPUT_H_
