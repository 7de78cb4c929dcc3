// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/internal/service_limits.h"

#include <sched.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/linux/seccomp_filter.h"

namespace instar {
namespace manager_internal {
namespace {

struct UsedCall {
  // The kernel's own answer is that the arguments are wrong, or nothing.
  SystemCall call;
  // What does not work without it, for people; null: what needs it says so.
  const char* without = nullptr;
  // Whoever needs it asks before, so that no filter ends the process for it.
  bool is_asked_for = false;
};

constexpr long kNone = -1;  // no such descriptor, process or folder

// Those that a program of its own may well do without.
constexpr UsedCall kUsed[] = {
    {{"ptrace", SYS_ptrace, {PTRACE_SEIZE}},
     "threads that block every signal cannot be stopped, so that an update of "
     "what they call is refused",
     true},
    {{"unshare", SYS_unshare, {CLONE_FS}},
     "the program cannot be updated any more once it has called chroot(2)",
     true},
    {{"membarrier", SYS_membarrier, {0}}, "no code can be changed"},
    {{"memfd_create", SYS_memfd_create, {0}}, "no module can be loaded"},
    {{"rt_tgsigqueueinfo", SYS_rt_tgsigqueueinfo, {kNone, kNone}},
     "threads cannot be stopped for an update"},
    {{"tgkill", SYS_tgkill, {kNone, kNone}},
     "threads cannot be stopped for an update"},
    {{"process_vm_readv", SYS_process_vm_readv, {0}},
     "it cannot be told what threads wait for, so that some are waited for "
     "longer"},
    {{"accept4", SYS_accept4, {kNone}}},
    {{"bind", SYS_bind, {kNone}}},
    {{"clone3", SYS_clone3, {0}}},
    {{"connect", SYS_connect, {kNone}}},
    {{"dup3", SYS_dup3, {kNone, kNone}}},
    {{"eventfd2", SYS_eventfd2, {0}}},
    {{"fcntl", SYS_fcntl, {kNone}}},
    {{"flock", SYS_flock, {kNone}}},
    {{"getdents64", SYS_getdents64, {kNone}}},
    {{"getsockopt", SYS_getsockopt, {kNone}}},
    {{"listen", SYS_listen, {kNone}}},
    {{"madvise", SYS_madvise, {1, 1}}},
    {{"newfstatat", SYS_newfstatat, {kNone}}},
    {{"openat", SYS_openat, {kNone}}},
    {{"pread64", SYS_pread64, {kNone}}},
    {{"prlimit64", SYS_prlimit64, {kNone, kNone}}},
    {{"pwrite64", SYS_pwrite64, {kNone}}},
    {{"recvmsg", SYS_recvmsg, {kNone}}},
    {{"rt_sigaction", SYS_rt_sigaction, {kNone}}},
    {{"sched_yield", SYS_sched_yield}},
    {{"sendto", SYS_sendto, {kNone}}},
    {{"socket", SYS_socket, {AF_UNIX, SOCK_STREAM}}},
// What libc calls for these: newer processors have the general ones alone.
#ifdef SYS_chmod
    {{"chmod", SYS_chmod, {0}}},
    {{"mkdir", SYS_mkdir, {0}}},
    {{"poll", SYS_poll, {0}}},
    {{"readlink", SYS_readlink, {0}}},
    {{"rename", SYS_rename, {0}}},
    {{"unlink", SYS_unlink, {0}}},
#else
    {{"fchmodat", SYS_fchmodat, {kNone}}},
    {{"mkdirat", SYS_mkdirat, {kNone}}},
    {{"ppoll", SYS_ppoll, {0}}},
    {{"readlinkat", SYS_readlinkat, {kNone}}},
    {{"renameat", SYS_renameat, {kNone}}},
    {{"unlinkat", SYS_unlinkat, {kNone}}},
#endif
};
constexpr std::size_t kCount = sizeof(kUsed) / sizeof(kUsed[0]);

// A line of a unit file; several of them count together.
std::string Line(const std::string& calls) {
  return absl::StrCat("; in the unit file of a service: SystemCallFilter=",
                      calls);
}

}  // namespace

ServiceLimits FindServiceLimits(const sock_fprog* more) {
  std::vector<SystemCall> calls;
  for (const UsedCall& used : kUsed) calls.push_back(used.call);
  std::vector<FilterAnswer> answers(kCount);
  AskSeccompFilter(calls, absl::MakeSpan(answers), more);
  ServiceLimits limits;
  std::vector<std::string> ending;
  for (std::size_t i = 0; i < kCount; ++i) {
    const UsedCall& used = kUsed[i];
    const std::string name = used.call.name;
    const bool ends = answers[i].verdict == FilterVerdict::kEnds;
    if (ends && !used.is_asked_for) {
      ending.push_back(name);
    } else if ((ends || answers[i].verdict == FilterVerdict::kRefuses) &&
               used.without != nullptr) {
      limits.remarks.push_back(
          absl::StrCat(used.without, ": a seccomp filter ",
                       ends ? "ends a process that calls " : "forbids ", name,
                       "(2)", Line(name)));
    }
  }
  if (!ending.empty()) {
    limits.may_start = absl::FailedPreconditionError(absl::StrCat(
        "no update can be loaded: a seccomp filter would end this process for "
        "a call of ",
        absl::StrJoin(ending, ", "), Line(absl::StrJoin(ending, " "))));
  }
  return limits;
}

}  // namespace manager_internal
}  // namespace instar
