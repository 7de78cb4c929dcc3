// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/seccomp_filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/linux/raw_syscall.h"
#include "base/linux/tasks.h"

// The child has no state of a sanitizer's.
#define INSTAR_IN_CHILD \
  __attribute__((no_sanitize("address", "thread", "undefined")))

namespace instar {
namespace {

constexpr std::size_t kMost = 64;
// A supervisor may decide about a call (SECCOMP_RET_USER_NOTIF), and not come
// to it.
constexpr int kPatience = 100'000;
constexpr timespec kLookAgain = {0, 100'000};

// What a child says: how many calls it has begun, and what came of them.
// Written by it alone, and read when it has ended.
struct Said {
  std::size_t begun;
  long results[kMost];
};

// Everything is a system call: locks may be owned by threads that are not in
// the child.
INSTAR_IN_CHILD __attribute__((noinline)) pid_t StartChild(
    const SystemCall* calls, std::size_t count, const sock_fprog* more,
    volatile Said* said) {
  // No debugger of this process is to stop it.
  const long child = RawSyscall(SYS_clone, CLONE_UNTRACED);
  if (child != 0) return static_cast<pid_t>(child);
  RawSyscall(SYS_prctl, PR_SET_DUMPABLE, 0);
  if (more != nullptr && RawSyscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0,
                                    reinterpret_cast<long>(more)) != 0) {
    // Not by exit_group(2), by which it says that it has made the calls.
    __builtin_trap();
  }
  for (std::size_t i = said->begun; i < count; ++i) {
    const SystemCall& call = calls[i];
    said->begun = i + 1;
    said->results[i] =
        RawSyscall(call.number, call.arguments[0], call.arguments[1],
                   call.arguments[2], call.arguments[3], call.arguments[4]);
  }
  RawSyscall(SYS_exit_group, 0);
  __builtin_unreachable();
}

// Its status when it has ended; -1 if it had to be ended.
int AwaitChild(pid_t child) {
  int status = 0;
  for (int looks = 0;; ++looks) {
    const long waited =
        RawSyscall(SYS_wait4, child, reinterpret_cast<long>(&status),
                   __WALL | (looks < kPatience ? WNOHANG : 0));
    if (waited == child) return looks <= kPatience ? status : -1;
    if (waited < 0 && waited != -EINTR) return -1;
    if (looks == kPatience) RawSyscall(SYS_kill, child, SIGKILL);
    RawSyscall(SYS_nanosleep, reinterpret_cast<long>(&kLookAgain));
  }
}

FilterAnswer AnswerOf(long result) {
  const auto error = static_cast<int>(-result);
  const bool is_refused = error == EPERM || error == EACCES || error == ENOSYS;
  return is_refused ? FilterAnswer{FilterVerdict::kRefuses, error}
                    : FilterAnswer{};
}

}  // namespace

int CountSeccompFilters() {
  const auto status = StatusOfTask(static_cast<pid_t>(RawSyscall(SYS_gettid)));
  return status.has_value() && status->filters != TaskStatus::kStrict
             ? status->filters
             : 0;
}

void AskSeccompFilter(absl::Span<const SystemCall> calls,
                      absl::Span<FilterAnswer> answers,
                      const sock_fprog* more) {
  INSTAR_CHECK(calls.size() == answers.size() && calls.size() <= kMost)
      << "one answer for each call, and at most " << kMost;
  for (FilterAnswer& answer : answers) answer = FilterAnswer();
  if (calls.empty()) return;
  if (more == nullptr && CountSeccompFilters() == 0) return;
  for (FilterAnswer& answer : answers)
    answer.verdict = FilterVerdict::kNotKnown;
  const long mapped =
      RawSyscall(SYS_mmap, 0, sizeof(Said), PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1);
  if (mapped < 0 && mapped > -4096) return;
  auto* const said = reinterpret_cast<volatile Said*>(mapped);
  // Signals that a filter sends are not for the program's handlers.
  std::uint64_t all = ~std::uint64_t{0};
  std::uint64_t before = 0;
  RawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&all),
             reinterpret_cast<long>(&before), sizeof(all));
  for (std::size_t known = 0; known < calls.size();) {
    const pid_t child = StartChild(calls.data(), calls.size(), more, said);
    if (child < 0) break;
    const int status = AwaitChild(child);
    const std::size_t begun = said->begun;
    const bool was_ended = status == -1 || WIFSIGNALED(status);
    const std::size_t answered = was_ended && begun > 0 ? begun - 1 : begun;
    for (; known < answered; ++known) {
      answers[known] = AnswerOf(said->results[known]);
    }
    if (!was_ended) continue;
    // What it was ended at is not asked again; before the first one, there is
    // nothing to be known.
    if (begun == 0) break;
    if (status != -1 && WTERMSIG(status) == SIGSYS) {
      answers[known].verdict = FilterVerdict::kEnds;
    }
    ++known;
  }
  RawSyscall(SYS_rt_sigprocmask, SIG_SETMASK, reinterpret_cast<long>(&before),
             0, sizeof(before));
  RawSyscall(SYS_munmap, mapped, sizeof(Said));
}

FilterAnswer AnswerOfFilter(const SystemCall& call) {
  FilterAnswer answer;
  AskSeccompFilter({&call, 1}, {&answer, 1});
  return answer;
}

}  // namespace instar
