// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/watch/process_end.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/linux/deadline.h"
#include "manager/control/process_file.h"

namespace instar {
namespace instarctl {
namespace {

// Of <linux/pidfd.h>, which is older here.
struct PidfdInfo {
  std::uint64_t mask;
  std::uint64_t cgroup;
  std::uint32_t pids_and_users[11];
  std::int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64, "PIDFD_INFO_SIZE_VER0");
constexpr unsigned long kGetInfo = _IOWR(0xff, 11, PidfdInfo);
constexpr std::uint64_t kExitInfo = 1 << 3;

// As of wait(2). Known to the kernel once the parent has asked.
std::optional<int> FromPidfd(int process) {
  PidfdInfo info = {};
  info.mask = kExitInfo;
  if (ioctl(process, kGetInfo, &info) != 0 || (info.mask & kExitInfo) == 0) {
    return std::nullopt;
  }
  return info.exit_code;
}

// Known to /proc until then, to whoever may trace the process.
std::optional<int> FromProc(pid_t pid) {
  const auto stat = manager_internal::ReadProcessStat(pid);
  if (!stat.has_value() || stat->state != 'Z') return std::nullopt;
  const std::string text =
      manager_internal::ReadProcessFile(absl::StrCat("/proc/", pid, "/stat"));
  const std::size_t last = text.rfind(' ');
  int status = 0;
  if (last == std::string::npos ||
      !absl::SimpleAtoi(text.substr(last + 1), &status)) {
    return std::nullopt;
  }
  return status;
}

}  // namespace

bool Ending::is_crash() const {
  return signal.has_value() && *signal != SIGTERM && *signal != SIGINT &&
         *signal != SIGHUP && *signal != SIGQUIT;
}

std::string Ending::ToString() const {
  if (signal.has_value()) {
    const char* const name = sigdescr_np(*signal);
    return absl::StrCat("signal ", *signal, " (",
                        name == nullptr ? "unknown" : name, ")");
  }
  if (exit_code.has_value()) return absl::StrCat("exit code ", *exit_code);
  return "no known cause";
}

absl::StatusOr<ProcessEnd> ProcessEnd::Of(pid_t pid) {
  manager_internal::FileDescriptor process(
      static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (process.number() >= 0) return ProcessEnd(pid, std::move(process));
  const std::string message = absl::StrCat(
      "process ", pid, " cannot be watched: ", std::strerror(errno));
  return errno == ESRCH ? absl::NotFoundError(message)
                        : absl::InternalError(message);
}

bool ProcessEnd::Await(std::chrono::milliseconds limit) const {
  const auto until = DeadlineAfter(limit);
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    pollfd wanted = {descriptor(), POLLIN, 0};
    const int ready = poll(
        &wanted, 1, static_cast<int>(std::max<long long>(0, left.count())));
    if (ready >= 0 || errno != EINTR) return ready == 1;
  }
}

Ending ProcessEnd::Find() const {
  std::optional<int> status = FromPidfd(descriptor());
  if (!status.has_value()) status = FromProc(pid_);
  // The parent may have asked between the two.
  if (!status.has_value()) status = FromPidfd(descriptor());
  Ending ending;
  if (!status.has_value()) return ending;
  if (WIFSIGNALED(*status)) {
    ending.signal = WTERMSIG(*status);
  } else {
    ending.exit_code = WEXITSTATUS(*status);
  }
  return ending;
}

}  // namespace instarctl
}  // namespace instar
