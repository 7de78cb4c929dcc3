// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/explorer/internal/child_runs.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/linux/deadline.h"

namespace instar {
namespace explorer_internal {
namespace {

// How often it is looked whether a child has ended.
constexpr std::chrono::microseconds kLook(500);

// Written at its end by everybody who has it; not handed on to a program.
int MakeFile(const char* name) {
  const int file = memfd_create(name, MFD_CLOEXEC);
  if (file >= 0) fcntl(file, F_SETFL, O_APPEND);
  return file;
}

std::string ReadAll(int file) {
  std::string text;
  char buffer[1 << 16];
  while (true) {
    const ssize_t got =
        pread(file, buffer, sizeof(buffer), static_cast<off_t>(text.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
  }
}

void BecomeChild(pid_t parent, int output, int errors) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it has ended before
  setpgid(0, 0);
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  dup2(nothing, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(errors, STDERR_FILENO);
  const rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  // What has been said is counted by lines.
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
}

}  // namespace

ChildRuns::ChildRuns(int jobs, std::chrono::nanoseconds limit)
    : jobs_(static_cast<std::size_t>(std::max(jobs, 1))), limit_(limit) {}

ChildRuns::~ChildRuns() {
  for (const Child& child : children_) {
    if (child.pid >= 0) kill(-child.pid, SIGKILL);
    Reap(child);
  }
}

void ChildRuns::Start(std::size_t index, const std::function<void(int)>& main) {
  INSTAR_CHECK(HasRoom()) << running() << " are running";
  // A child has what is in the buffers, too.
  std::fflush(nullptr);
  std::cout.flush();
  Child child{index,
              -1,
              MakeFile("record"),
              MakeFile("output"),
              MakeFile("errors"),
              DeadlineAfter(limit_),
              false,
              ""};
  if (child.record < 0 || child.output < 0 || child.errors < 0) {
    child.error = absl::StrCat("there is no file in memory to be had: ",
                               std::strerror(errno));
    children_.push_back(std::move(child));
    return;
  }
  const pid_t parent = getpid();
  child.pid = fork();
  if (child.pid == 0) {
    BecomeChild(parent, child.output, child.errors);
    main(child.record);
    _exit(1);
  }
  if (child.pid < 0) {
    child.error =
        absl::StrCat("no process can be started: ", std::strerror(errno));
  }
  children_.push_back(std::move(child));
}

bool ChildRuns::HasEnded(const Child& child) {
  if (child.pid < 0) return true;
  siginfo_t info;
  info.si_pid = 0;
  const int got = waitid(P_PID, static_cast<id_t>(child.pid), &info,
                         WEXITED | WNOHANG | WNOWAIT);
  return got == 0 && info.si_pid == child.pid;
}

FinishedRun ChildRuns::Reap(const Child& child) {
  FinishedRun run;
  run.index = child.index;
  run.was_killed = child.was_killed;
  run.error = child.error;
  if (child.pid >= 0) {
    // What it has started itself; it is not reaped yet, so that this is its
    // group.
    kill(-child.pid, SIGKILL);
    while (waitpid(child.pid, &run.status, 0) < 0 && errno == EINTR) {
    }
    run.record = ReadAll(child.record);
    run.output = ReadAll(child.output);
    run.errors = ReadAll(child.errors);
  }
  for (const int file : {child.record, child.output, child.errors}) {
    if (file >= 0) close(file);
  }
  return run;
}

FinishedRun ChildRuns::Await() {
  INSTAR_CHECK(running() > 0) << "nothing is running";
  while (true) {
    for (auto child = children_.begin(); child != children_.end(); ++child) {
      if (!HasEnded(*child)) {
        if (child->was_killed || Clock::now() < child->until) continue;
        child->was_killed = true;
        kill(-child->pid, SIGKILL);
        continue;
      }
      FinishedRun run = Reap(*child);
      children_.erase(child);
      return run;
    }
    std::this_thread::sleep_for(kLook);
  }
}

}  // namespace explorer_internal
}  // namespace instar
