// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/watch/health_command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/linux/deadline.h"

namespace instar {
namespace instarctl {
namespace {

using manager_internal::FileDescriptor;

constexpr off_t kLongestLine = 200;  // bytes

[[noreturn]] void BecomeShell(const char* command, int output) {
  setpgid(0, 0);
  const int input = open("/dev/null", O_RDONLY);
  dup2(input, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  execl("/bin/sh", "sh", "-c", command, nullptr);
  _exit(127);
}

}  // namespace

absl::Status HealthCommand::Start() {
  output_ = FileDescriptor(memfd_create("health", MFD_CLOEXEC));
  const pid_t child = output_.number() < 0 ? -1 : fork();
  if (child == 0) BecomeShell(command_.c_str(), output_.number());
  if (child < 0) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the health command cannot be run: ", std::strerror(errno)));
  }
  setpgid(child, child);  // whoever of the two comes first
  pid_ = child;
  deadline_ = DeadlineAfter(limit_);
  process_ =
      FileDescriptor(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  return absl::OkStatus();
}

std::optional<absl::Status> HealthCommand::Finish() {
  int status = 0;
  const pid_t ended = waitpid(pid_, &status, WNOHANG);
  if (ended == 0) {
    if (Clock::now() < deadline_) return std::nullopt;
    Stop();
    return absl::DeadlineExceededError(absl::StrCat(
        "the health command did not end within ",
        std::chrono::duration_cast<std::chrono::seconds>(limit_).count(),
        " s"));
  }
  // What it has left running has the output, and is left alone.
  pid_ = 0;
  process_ = FileDescriptor();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  const std::string said = LastLine();
  return absl::UnavailableError(
      absl::StrCat("the health command ",
                   WIFEXITED(status)
                       ? absl::StrCat("exited with ", WEXITSTATUS(status))
                       : absl::StrCat("was ended by signal ", WTERMSIG(status)),
                   said.empty() ? "" : ": ", said));
}

absl::Status HealthCommand::Run() {
  if (const absl::Status started = Start(); !started.ok()) return started;
  while (true) {
    if (const auto said = Finish()) return *said;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now());
    pollfd wanted = {descriptor(), POLLIN, 0};
    poll(&wanted, 1, static_cast<int>(std::max<long long>(0, left.count())));
  }
}

void HealthCommand::Stop() {
  if (pid_ == 0) return;
  kill(-pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
  process_ = FileDescriptor();
}

std::string HealthCommand::LastLine() const {
  struct stat file;
  if (fstat(output_.number(), &file) != 0) return "";
  char bytes[kLongestLine];
  const off_t begin = std::max<off_t>(0, file.st_size - kLongestLine);
  const ssize_t size = pread(output_.number(), bytes, sizeof(bytes), begin);
  if (size <= 0) return "";
  absl::string_view text(bytes, static_cast<std::size_t>(size));
  text = absl::StripAsciiWhitespace(text);
  text = absl::StripAsciiWhitespace(text.substr(text.rfind('\n') + 1));
  // It is for a terminal.
  return absl::Utf8SafeCHexEscape(text);
}

}  // namespace instarctl
}  // namespace instar
