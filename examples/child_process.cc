// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"

namespace site_manager {
namespace {

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(1);
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& s : strings) pointers.push_back(s.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

ChildProcess::ChildProcess(std::vector<std::string> arguments,
                           std::vector<std::string> environment) {
  // Later definitions of a name would be ignored: ours come first.
  for (char** v = environ; *v != nullptr; ++v) environment.emplace_back(*v);
  const std::vector<char*> argv = Pointers(arguments);
  const std::vector<char*> envp = Pointers(environment);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) Die("pipe2");
  sigset_t none;
  sigemptyset(&none);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) Die("fork");
  if (pid_ == 0) {  // what may be called between fork and exec, nothing else
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  close(ends[1]);
  output_ = ends[0];
  if (fcntl(output_, F_SETFL, O_NONBLOCK) != 0) Die("fcntl");
  reader_ = std::thread(&ChildProcess::Read, this);
}

ChildProcess::~ChildProcess() {
  Signal(SIGKILL);
  Wait();
}

void ChildProcess::Read() {
  pollfd readable = {output_, POLLIN, 0};
  while (true) {
    poll(&readable, 1, -1);  // interrupted: nothing is there to be read
    std::lock_guard<std::mutex> lock(lock_);
    ReadWhatIsThere();
    changed_.notify_all();
    if (is_over_) break;
  }
  close(output_);
}

void ChildProcess::ReadWhatIsThere() {
  char buffer[4096];
  while (!is_over_) {
    const ssize_t got = read(output_, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    for (ssize_t i = 0; i < got; ++i) {
      if (buffer[i] == '\n') {
        lines_.push_back(std::exchange(line_, ""));
      } else {
        line_ += buffer[i];
      }
    }
    if (got > 0) continue;
    if (!line_.empty()) lines_.push_back(line_);
    is_over_ = true;
  }
}

std::optional<std::string> ChildProcess::AwaitLine(
    const std::function<bool(const std::string&)>& fits) {
  std::unique_lock<std::mutex> lock(lock_);
  while (true) {
    while (next_ < lines_.size()) {
      const std::string& line = lines_[next_++];
      if (fits(line)) return line;
    }
    if (is_over_) return std::nullopt;
    changed_.wait(lock);
  }
}

std::optional<std::string> ChildProcess::AwaitLine(
    absl::string_view beginning) {
  return AwaitLine([beginning](const std::string& line) {
    return absl::StartsWith(line, beginning);
  });
}

void ChildProcess::SkipOutput() {
  std::lock_guard<std::mutex> lock(lock_);
  ReadWhatIsThere();
  next_ = lines_.size();
}

std::vector<std::string> ChildProcess::Output() const {
  std::lock_guard<std::mutex> lock(lock_);
  return lines_;
}

void ChildProcess::Signal(int number) {
  if (!code_.has_value()) kill(pid_, number);
}

int ChildProcess::Wait() {
  if (code_.has_value()) return *code_;
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0) {
    if (errno != EINTR) Die("waitpid");
  }
  code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  reader_.join();
  return *code_;
}

Finished RunToEnd(std::vector<std::string> arguments,
                  std::vector<std::string> environment) {
  ChildProcess child(std::move(arguments), std::move(environment));
  const int code = child.Wait();
  return {code, child.Output()};
}

}  // namespace site_manager
