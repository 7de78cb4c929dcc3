// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/sleeping_processes.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <set>
#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "manager/control/listening_processes.h"
#include "manager/control/process_file.h"

namespace instar {
namespace {

using manager_internal::ReadProcessFile;
using Clock = std::chrono::steady_clock;

constexpr char kAgent[] = "/libinstar_agent.so";
// How often it is looked whether it listens, and pauses between two signals:
// each twice as long as the one before.
constexpr std::chrono::milliseconds kAskAgain(20);
constexpr std::chrono::milliseconds kFirstPause(1);
constexpr std::chrono::seconds kLongestPause(1);

bool HasAgent(pid_t pid) {
  const std::string maps =
      ReadProcessFile(absl::StrCat("/proc/", pid, "/maps"));
  for (const absl::string_view line : absl::StrSplit(maps, '\n')) {
    if (absl::EndsWith(line, kAgent)) return true;
  }
  return false;
}

// What a file "status" of /proc says of a thread.
class ThreadStatus {
 public:
  explicit ThreadStatus(const std::string& path)
      : text_(ReadProcessFile(path)) {}

  bool is_there() const { return !text_.empty(); }
  bool Blocks() const { return HasSignal("SigBlk:"); }
  bool Ignores() const { return HasSignal("SigIgn:"); }
  bool Handles() const { return HasSignal("SigCgt:"); }
  // Nothing: it is not said, as by kernels before 5.9.
  std::optional<int> Number(absl::string_view label) const {
    int number = 0;
    if (!absl::SimpleAtoi(Value(label), &number)) return std::nullopt;
    return number;
  }

 private:
  absl::string_view Value(absl::string_view label) const {
    for (absl::string_view line : absl::StrSplit(text_, '\n')) {
      if (absl::ConsumePrefix(&line, label)) {
        return absl::StripAsciiWhitespace(line);
      }
    }
    return "";
  }
  bool HasSignal(absl::string_view label) const {
    std::uint64_t set = 0;
    return absl::SimpleHexAtoi(Value(label), &set) &&
           (set >> (SIGURG - 1) & 1) != 0;
  }

  std::string text_;
};

ThreadStatus StatusOf(pid_t pid) {
  return ThreadStatus(absl::StrCat("/proc/", pid, "/status"));
}

int FiltersItWorksUnder(pid_t pid) {
  const std::string maps =
      ReadProcessFile(absl::StrCat("/proc/", pid, "/maps"));
  const std::string mark = absl::StrCat("/memfd:", kFiltersMark);
  int most = 0;
  for (const absl::string_view line : absl::StrSplit(maps, '\n')) {
    const std::size_t at = line.find(mark);
    if (at == absl::string_view::npos) continue;
    const absl::string_view rest = line.substr(at + mark.size());
    int filters = 0;
    if (absl::SimpleAtoi(rest.substr(0, rest.find(' ')), &filters)) {
      most = std::max(most, filters);
    }
  }
  return most;
}

// Whether a thread that takes the signal lives on.
absl::Status CheckFilters(const ThreadStatus& thread, int allowed) {
  constexpr absl::string_view kRemedy =
      "; lay it before the fork, on all threads (SECCOMP_FILTER_FLAG_TSYNC), "
      "or in the unit file of the service, or update it by its parent before "
      "it is forked (docs/hardened_services.md)";
  const std::optional<int> mode = thread.Number("Seccomp:");
  if (!mode.has_value() || *mode == 0) return absl::OkStatus();
  if (*mode == 1) {
    return absl::FailedPreconditionError(
        "it is in seccomp's strict mode, which ends it for starting a manager; "
        "update it by its parent before it is forked "
        "(docs/hardened_services.md)");
  }
  const std::optional<int> filters = thread.Number("Seccomp_filters:");
  if (!filters.has_value()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "it has a seccomp filter, which may end it for starting a manager, and "
        "this kernel does not say how many it has",
        kRemedy));
  }
  if (*filters <= allowed) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("it has laid a seccomp filter (it has ", *filters,
                   ", and is known to ", "work under ", allowed,
                   "), which may end it for starting a manager", kRemedy));
}

// Whether the signal may be sent to it. Unavailable: not now, since all threads
// block it, and it would stay pending for whatever they take it by. A filter
// that is laid between this look and the signal is not seen.
absl::Status CheckSignal(pid_t pid) {
  const ThreadStatus all = StatusOf(pid);
  if (!all.Handles()) {
    return absl::FailedPreconditionError(
        all.Ignores() ? "it ignores SIGURG, by which it would be asked to"
                      : "SIGURG, by which it would be asked to, is at its "
                        "default there: it was not compiled for updates, or "
                        "has taken the agent's handler away");
  }
  const int allowed = FiltersItWorksUnder(pid);
  const std::string tasks = absl::StrCat("/proc/", pid, "/task");
  DIR* const stream = opendir(tasks.c_str());
  if (stream == nullptr) return absl::OkStatus();  // it has ended
  const absl::Cleanup close = [stream] { closedir(stream); };
  bool can_be_taken = false;
  while (const dirent* const entry = readdir(stream)) {
    if (entry->d_name[0] == '.') continue;
    const ThreadStatus thread(
        absl::StrCat(tasks, "/", entry->d_name, "/status"));
    if (!thread.is_there() || thread.Blocks()) continue;
    const absl::Status lives_on = CheckFilters(thread, allowed);
    if (!lives_on.ok()) return lives_on;
    can_be_taken = true;
  }
  return can_be_taken ? absl::OkStatus()
                      : absl::UnavailableError(
                            "all of its threads block SIGURG, by which it "
                            "would be asked to");
}

// ESRCH and the like: errors that do not pass.
absl::Status SendSignal(pid_t pid) {
  siginfo_t info = {};
  info.si_signo = SIGURG;
  info.si_code = SI_QUEUE;
  info.si_pid = getpid();
  info.si_uid = getuid();
  info.si_value.sival_int = kWakeValue;
  if (syscall(SYS_rt_sigqueueinfo, pid, SIGURG, &info) == 0 ||
      errno == EAGAIN) {
    return absl::OkStatus();
  }
  if (errno == ESRCH) {
    return absl::NotFoundError(absl::StrCat("process ", pid, " has ended"));
  }
  if (errno == EPERM) {
    return absl::PermissionDeniedError(
        absl::StrCat("process ", pid, " is another user's"));
  }
  return absl::InternalError(absl::StrCat(
      "process ", pid, " cannot be asked: ", std::strerror(errno)));
}

// Of the environment that the process was started with; empty: it is not there.
std::string VariableOf(pid_t pid, const std::string& name) {
  const std::string environment =
      ReadProcessFile(absl::StrCat("/proc/", pid, "/environ"));
  for (absl::string_view entry : absl::StrSplit(environment, '\0')) {
    if (absl::ConsumePrefix(&entry, name) && absl::ConsumePrefix(&entry, "=")) {
      return std::string(entry);
    }
  }
  return "";
}

std::string NameOf(pid_t pid) {
  std::string name = VariableOf(pid, "INSTAR_NAME");
  if (!name.empty()) return name;
  char path[4096];
  const ssize_t length =
      readlink(absl::StrCat("/proc/", pid, "/exe").c_str(), path, sizeof(path));
  if (length <= 0) return "";
  const absl::string_view executable(path, static_cast<std::size_t>(length));
  return std::string(absl::StripSuffix(
      executable.substr(executable.rfind('/') + 1), " (deleted)"));
}

std::set<pid_t> FindServed() {
  std::set<pid_t> served;
  for (const auto& process : manager_internal::FindListeningProcesses()) {
    served.insert(process.pid);
  }
  return served;
}

std::optional<SleepingProcess> LookAt(pid_t pid,
                                      const std::set<pid_t>& served) {
  if (served.count(pid) != 0 || !HasAgent(pid)) return std::nullopt;
  std::string name = NameOf(pid);
  if (name.empty()) return std::nullopt;
  return SleepingProcess{std::move(name), pid};
}

}  // namespace

std::vector<SleepingProcess> FindSleepingProcesses() {
  std::vector<SleepingProcess> found;
  DIR* const stream = opendir("/proc");
  if (stream == nullptr) return found;
  const absl::Cleanup close = [stream] { closedir(stream); };
  const std::string chosen = SocketFolders::FromEnvironment().chosen;
  const std::set<pid_t> served = FindServed();
  while (const dirent* const entry = readdir(stream)) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry->d_name, &pid) || pid == getpid()) continue;
    if (!StatusOf(pid).Handles()) continue;
    std::optional<SleepingProcess> process = LookAt(pid, served);
    if (process.has_value() &&
        (chosen.empty() ||
         VariableOf(pid, kSocketDirectoryVariable) == chosen)) {
      found.push_back(*std::move(process));
    }
  }
  return found;
}

std::optional<SleepingProcess> FindSleepingProcess(pid_t pid) {
  return LookAt(pid, FindServed());
}

absl::StatusOr<RunningProgram> Wake(const SleepingProcess& process,
                                    std::chrono::nanoseconds limit) {
  const Clock::time_point until = DeadlineAfter(limit);
  const std::string what =
      absl::StrCat("process ", process.pid, " (", process.name, ")");
  Clock::duration pause = kFirstPause;
  Clock::time_point next = Clock::now();
  while (true) {
    // It may have executed another program since.
    if (!HasAgent(process.pid)) {
      return absl::NotFoundError(
          absl::StrCat("process ", process.pid, " has ended"));
    }
    const absl::Status may_send = CheckSignal(process.pid);
    if (absl::IsFailedPrecondition(may_send)) {
      return absl::FailedPreconditionError(absl::StrCat(
          what, " was not asked to start a manager: ", may_send.message()));
    }
    if (may_send.ok() && Clock::now() >= next) {
      INSTAR_RETURN_IF_ERROR(SendSignal(process.pid));
      next = Clock::now() + pause;
      pause = std::min<Clock::duration>(2 * pause, kLongestPause);
    }
    std::this_thread::sleep_for(std::clamp<Clock::duration>(
        next - Clock::now(), kFirstPause, kAskAgain));
    for (const auto& served : manager_internal::FindListeningProcesses()) {
      if (served.pid == process.pid) {
        return RunningProgram{served.name, served.pid, served.socket};
      }
    }
    if (Clock::now() < until) continue;
    return absl::DeadlineExceededError(absl::StrCat(
        what, " has started no manager: ",
        may_send.ok() ? "its threads do not wait in the kernel, or it may not "
                        "make a socket, or it handles SIGURG itself"
                      : std::string(may_send.message()),
        "; ask again"));
  }
}

}  // namespace instar
