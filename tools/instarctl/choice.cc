// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/instarctl/choice.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "manager/control/sleeping_processes.h"

namespace instar {
namespace instarctl {
namespace {

std::string List(const std::vector<RunningProgram>& programs) {
  return absl::StrJoin(
      programs, ", ", [](std::string* out, const RunningProgram& program) {
        absl::StrAppend(out, program.name, " (", program.pid, ")");
      });
}

absl::Status None() {
  return absl::NotFoundError(
      "no program that can be updated is running as this user; start one, "
      "with the same $INSTAR_SOCKET_DIRECTORY as instarctl if it is set");
}

std::string LastPart(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

bool IsNamed(const std::string& wanted, const std::string& name, pid_t pid) {
  return name == wanted || absl::StrCat(pid) == wanted;
}

absl::StatusOr<RunningProgram> ChooseProgram(
    const std::vector<RunningProgram>& programs, const std::string& wanted,
    const BuiltFor& built_for,
    absl::FunctionRef<absl::StatusOr<ProgramReport>(const RunningProgram&)>
        ask) {
  if (programs.empty()) return None();
  if (!wanted.empty()) {
    std::vector<RunningProgram> matches;
    for (const RunningProgram& program : programs) {
      if (IsNamed(wanted, program.name, program.pid)) {
        matches.push_back(program);
      }
    }
    if (matches.size() == 1) return matches.front();
    if (matches.empty()) {
      return absl::NotFoundError(absl::StrCat(
          "no program \"", wanted, "\" is running; there is ", List(programs)));
    }
    return absl::NotFoundError(absl::StrCat(
        "several programs match \"", wanted, "\": ", List(matches),
        "; choose one by its number, --program ", matches.front().pid));
  }
  if (programs.size() == 1) return programs.front();

  std::vector<RunningProgram> of_build, of_name;
  if (!built_for.program.empty()) {
    for (const RunningProgram& program : programs) {
      const absl::StatusOr<ProgramReport> report = ask(program);
      if (!report.ok()) continue;  // it cannot be updated at the moment
      if (std::find(built_for.build_ids.begin(), built_for.build_ids.end(),
                    report->build_id) != built_for.build_ids.end()) {
        of_build.push_back(program);
      }
      if (LastPart(report->executable) == built_for.program) {
        of_name.push_back(program);
      }
    }
  }
  if (of_build.size() == 1) return of_build.front();
  if (of_build.empty() && of_name.size() == 1) return of_name.front();
  return absl::NotFoundError(
      absl::StrCat("several programs are running: ", List(programs),
                   "; choose one by --program NAME or --program PID"));
}

absl::StatusOr<std::optional<RunningProgram>> WakeChosen(
    const std::vector<RunningProgram>& programs, const std::string& wanted) {
  constexpr std::chrono::seconds kLimit(10);
  const auto is_wanted = [&](const std::string& name, pid_t pid) {
    return wanted.empty() || IsNamed(wanted, name, pid);
  };
  for (const RunningProgram& program : programs) {
    if (is_wanted(program.name, program.pid)) return std::nullopt;
  }
  std::vector<SleepingProcess> chosen;
  for (SleepingProcess& process : FindSleepingProcesses()) {
    if (is_wanted(process.name, process.pid)) {
      chosen.push_back(std::move(process));
    }
  }
  if (chosen.empty()) return std::nullopt;
  if (chosen.size() > 1) {
    return absl::NotFoundError(
        absl::StrCat(chosen.size(), " processes match \"", wanted, "\", ",
                     chosen.front().pid, " and ", chosen[1].pid,
                     " among them; choose one by its number, or all by --all"));
  }
  INSTAR_ASSIGN_OR_RETURN(RunningProgram woken, Wake(chosen.front(), kLimit));
  return std::optional<RunningProgram>(std::move(woken));
}

std::string AbsolutePath(const std::string& path) {
  if (!path.empty() && path[0] == '/') return path;
  if (const char* working_directory = getenv("BUILD_WORKING_DIRECTORY")) {
    return absl::StrCat(working_directory, "/", path);
  }
  const std::unique_ptr<char, decltype(&free)> here(getcwd(nullptr, 0), &free);
  // Without a folder the program is asked for the path as it is, and refuses.
  return here == nullptr ? path : absl::StrCat(here.get(), "/", path);
}

}  // namespace instarctl
}  // namespace instar
