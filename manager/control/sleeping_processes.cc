// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/sleeping_processes.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <set>
#include <thread>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/linux/deadline.h"
#include "manager/control/listening_processes.h"
#include "manager/control/process_file.h"

namespace instar {
namespace {

using manager_internal::ReadProcessFile;
using Clock = std::chrono::steady_clock;

constexpr char kAgent[] = "/libinstar_agent.so";
constexpr std::chrono::milliseconds kAskAgain(20);

bool HasAgent(pid_t pid) {
  const std::string maps =
      ReadProcessFile(absl::StrCat("/proc/", pid, "/maps"));
  for (const absl::string_view line : absl::StrSplit(maps, '\n')) {
    if (absl::EndsWith(line, kAgent)) return true;
  }
  return false;
}

bool HandlesSignal(pid_t pid) {
  constexpr absl::string_view kCaught = "SigCgt:";
  const std::string status =
      ReadProcessFile(absl::StrCat("/proc/", pid, "/status"));
  for (absl::string_view line : absl::StrSplit(status, '\n')) {
    std::uint64_t caught = 0;
    if (absl::StartsWith(line, kCaught) &&
        absl::SimpleHexAtoi(line.substr(kCaught.size()), &caught)) {
      return (caught >> (SIGURG - 1) & 1) != 0;
    }
  }
  return false;
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
  if (served.count(pid) != 0 || !HandlesSignal(pid) || !HasAgent(pid)) {
    return std::nullopt;
  }
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
  while (true) {
    // It may have executed another program since, which has no such handler; to
    // one without any handler the signal does nothing.
    if (!HandlesSignal(process.pid) || !HasAgent(process.pid)) {
      return absl::NotFoundError(
          absl::StrCat("process ", process.pid, " has ended"));
    }
    siginfo_t info = {};
    info.si_signo = SIGURG;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_int = kWakeValue;
    if (syscall(SYS_rt_sigqueueinfo, process.pid, SIGURG, &info) != 0) {
      if (errno == ESRCH) {
        return absl::NotFoundError(
            absl::StrCat("process ", process.pid, " has ended"));
      }
      if (errno == EPERM) {
        return absl::PermissionDeniedError(
            absl::StrCat("process ", process.pid, " is another user's"));
      }
      if (errno != EAGAIN) {
        return absl::InternalError(
            absl::StrCat("process ", process.pid,
                         " cannot be asked: ", std::strerror(errno)));
      }
    }
    std::this_thread::sleep_for(kAskAgain);
    for (const auto& served : manager_internal::FindListeningProcesses()) {
      if (served.pid == process.pid) {
        return RunningProgram{served.name, served.pid, served.socket};
      }
    }
    if (Clock::now() >= until) {
      return absl::DeadlineExceededError(absl::StrCat(
          "process ", process.pid, " (", process.name,
          ") has started no manager: its threads do not wait in the kernel, or "
          "block SIGURG, or it may not make a socket; ask again"));
    }
  }
}

}  // namespace instar
