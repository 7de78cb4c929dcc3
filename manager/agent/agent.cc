// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// libinstar_agent.so: a manager for programs that know nothing of Instar. It
// starts before main(), in a program that is linked with it or started with
// LD_PRELOAD=libinstar_agent.so, if that was compiled for updates
// (instar-cc).
//
// Environment, read once, at the start:
//   INSTAR_NAME   by which instarctl finds the program; the executable's name
//                 if it is not set
//   INSTAR_AGENT  "off": no manager; "quiet": no word on standard error about a
//                 program that was not compiled for updates, as a shell that
//                 was started by the same LD_PRELOAD
//   INSTAR_SYSLOG where what is loaded and undone is logged, if not at
//                 /dev/log; "off": nowhere (manager/internal/system_log.h)
//
// Updates that are enabled for this build (manager/enabled/enabled_store.h) are
// applied between the program's static initializers and its main(): what an
// update finds has been initialized, and nothing of the program has run.
//
// The manager ends with the process, when the program's own destructors have
// run, and when the last thread of a program ends whose main() has called
// pthread_exit().
//
// Forks. A child has no manager, no thread and no descriptor of ours: it may be
// about to execute something else, to enter another namespace, or to be one of
// hundreds. It starts a manager at the first request for it, which comes as a
// signal (manager/control/sleeping_processes.h); what was applied in its parent
// is in effect in it and can be undone there. What daemon() leaves starts one
// at once.
//
// Seccomp filters. One that the program lays on all of its threads lies on ours
// as well. If the process would be ended for what they do under it, they end
// before, with a word on standard error, and the program goes on without. A
// child that has laid one is not asked to start a manager: those that were
// looked at are counted in the name of a mapping, which children have.

#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/linux/raw_syscall.h"
#include "base/linux/seccomp_filter.h"
#include "base/version.h"
#include "code/internal/patchable_entries.h"
#include "manager/control/sleeping_processes.h"
#include "manager/manager.h"
#include "manager/module/own_program.h"

// One for the whole process, whichever agent defines it: of two, the second
// one finds the first one's path here.
extern "C" {
extern const char* instar_agent_in_charge;
__attribute__((visibility("default"))) const char* instar_agent_in_charge =
    nullptr;
}

namespace instar {
namespace {

// The manager, or in a child of fork() the copy of its parent's. Written by one
// thread at a time (g_managed), taken by the end of the process.
std::atomic<Manager*> g_manager{nullptr};
// The process that has a manager, or in which a thread starts one: whoever sets
// it to the number of its own process does. In a child it is another number.
std::atomic<pid_t> g_managed{0};
// Held while the enabled updates are applied: the manager is not deleted then.
std::mutex g_applies_enabled;

// Written at once: the program may have closed the descriptor later.
void Say(const std::string& text) {
  const std::string line = absl::StrCat("instar: ", text, "\n");
  (void)!write(STDERR_FILENO, line.data(), line.size());
}

bool AgentIs(const char* setting) {
  const char* const value = getenv("INSTAR_AGENT");
  return value != nullptr && strcmp(value, setting) == 0;
}

const char* PathOf(const void* address) {
  Dl_info info;
  return dladdr(address, &info) != 0 ? info.dli_fname : "?";
}

// How many functions of the program and its libraries can be redefined: without
// those of Instar itself, which has some to try out.
absl::StatusOr<std::size_t> CountEntries() {
  const auto entries = PatchableEntries::Current();
  if (!entries.ok()) return entries.status();
  const auto own = reinterpret_cast<std::uintptr_t>(&Version);
  std::size_t count = 0;
  for (const PatchableImage& image : (*entries)->images()) {
    if (own < image.begin || image.end <= own) count += image.entries.size();
  }
  return count;
}

// Whether a manager can be of use here at all.
absl::Status Check() {
  static char here;
  const char* const path = PathOf(&here);
  if (instar_agent_in_charge != nullptr) {
    return absl::AlreadyExistsError(
        absl::StrCat("this process has an agent already, ",
                     instar_agent_in_charge, ": ", path, " does nothing"));
  }
  instar_agent_in_charge = path;
  if (strcmp(Version(), INSTAR_VERSION) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " is of version ", INSTAR_VERSION, ", and the library ",
        PathOf(reinterpret_cast<const void*>(&Version)), " of version ",
        Version(), ": install both anew; no update can be loaded"));
  }
  const absl::StatusOr<std::size_t> entries = CountEntries();
  if (!entries.ok()) return entries.status();
  if (*entries == 0) {
    if (AgentIs("quiet")) return absl::FailedPreconditionError("");
    return absl::FailedPreconditionError(absl::StrCat(
        "none of the functions of ", OwnProgramName(),
        " has an entry that can be redirected, so that no update can be "
        "loaded; compile it with instar-cc or instar-c++ (flag "
        "-fpatchable-function-entry=5)"));
  }
  return absl::OkStatus();
}

void EndProgram() {
  delete g_manager.exchange(nullptr);
  exit(0);
}

absl::StatusOr<Manager> MakeManager() {
  if (Manager* const of_parent = g_manager.load(); of_parent != nullptr) {
    return Manager::StartInChild(*of_parent);
  }
  ManagerOptions options;
  if (const char* const name = getenv("INSTAR_NAME"); name != nullptr) {
    options.name = name;
  }
  options.when_program_has_ended = &EndProgram;
  options.keeps_root = true;
  return Manager::Start(std::move(options));
}

// For whoever asks a child (manager/control/sleeping_processes.h): all filters
// that are in force now have been looked at. If the mark cannot be made, no
// child with filters is asked. It is never read or written, and never taken
// away: the highest number counts.
void MarkFilters() {
  const int filters = CountSeccompFilters();
  if (filters == 0) return;
  const std::string name = absl::StrCat(kFiltersMark, filters);
  constexpr unsigned kNotExecuted = 8;  // MFD_NOEXEC_SEAL, of Linux 6.3
  int file = memfd_create(name.c_str(), MFD_CLOEXEC | kNotExecuted);
  if (file < 0) file = memfd_create(name.c_str(), MFD_CLOEXEC);
  if (file < 0) return;
  (void)!mmap(nullptr, 1, PROT_NONE, MAP_PRIVATE, file, 0);
  close(file);
}

// On one thread of the process, which has set g_managed.
void StartManager() {
  absl::StatusOr<Manager> manager = MakeManager();
  if (!manager.ok()) {
    Say(std::string(manager.status().message()));
    g_managed.store(0);  // it may be asked for again
    return;
  }
  // Not in a child, whose standard error may be something else by now.
  if (g_manager.load() == nullptr) {
    for (const std::string& limit : manager->Limits()) Say(limit);
  }
  // The copy of the parent's is of no use to anyone.
  g_manager.store(new Manager(*std::move(manager)));
}

bool TakeCharge() {
  pid_t managed = g_managed.load();
  return managed != getpid() &&
         g_managed.compare_exchange_strong(managed, getpid());
}

// Whether a signal has interrupted a system call that waits. Then the thread is
// in none of the short stretches in which malloc() or the dynamic linker own
// what a new thread needs. A call that will be repeated is about to be made,
// with its number in rax; one that is not has returned -EINTR.
bool IsWaiting(const ucontext_t& context) {
  const auto* const at = reinterpret_cast<const unsigned char*>(
      context.uc_mcontext.gregs[REG_RIP]);
  const long long rax = context.uc_mcontext.gregs[REG_RAX];
  const auto is_syscall = [](const unsigned char* code) {
    return code[0] == 0x0f && code[1] == 0x05;
  };
  if (rax == -EINTR) {
    // Of code that begins with the page, what stands before is not looked at.
    return (reinterpret_cast<std::uintptr_t>(at) & 0xfff) >= 2 &&
           is_syscall(at - 2);
  }
  switch (rax) {
    case SYS_accept:
    case SYS_accept4:
    case SYS_clock_nanosleep:
    case SYS_epoll_pwait:
    case SYS_epoll_wait:
    case SYS_flock:
    case SYS_futex:
    case SYS_nanosleep:
    case SYS_pause:
    case SYS_poll:
    case SYS_ppoll:
    case SYS_pselect6:
    case SYS_read:
    case SYS_readv:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_restart_syscall:
    case SYS_select:
    case SYS_wait4:
    case SYS_waitid:
      return is_syscall(at);
    default:
      return false;
  }
}

// Of SIGURG. Whatever else sends that signal is passed over, as by default.
void OnRequest(int, siginfo_t* info, void* context) {
  if (info->si_code != SI_QUEUE || info->si_value.sival_int != kWakeValue ||
      (info->si_uid != 0 && info->si_uid != geteuid())) {
    return;
  }
  const int saved_errno = errno;
  if (IsWaiting(*static_cast<const ucontext_t*>(context)) && TakeCharge()) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    const int error = pthread_create(
        &thread, nullptr,
        [](void*) -> void* {
          StartManager();
          return nullptr;
        },
        nullptr);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error == 0) {
      pthread_detach(thread);
    } else {
      g_managed.store(0);
    }
  }
  errno = saved_errno;
}

void ListenForRequests() {
  struct sigaction current;
  if (sigaction(SIGURG, nullptr, &current) != 0 ||
      (current.sa_flags & SA_SIGINFO) != 0 || current.sa_handler != SIG_DFL) {
    return;  // the program's own
  }
  struct sigaction action = {};
  action.sa_sigaction = &OnRequest;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  sigaction(SIGURG, &action, nullptr);
}

[[gnu::constructor]] void StartBeforeMain() {
  if (AgentIs("off")) return;
  if (const absl::Status useful = Check(); !useful.ok()) {
    if (!useful.message().empty()) Say(std::string(useful.message()));
    return;
  }
  ListenForRequests();
  if (!TakeCharge()) return;
  StartManager();
  // It has asked the filters. No other thread of the program has more of them.
  if (g_manager.load() != nullptr) MarkFilters();
}

// An update may call exit() while it is applied at the start. Then the manager
// stays as it is until the process ends: to end it is to answer the thread that
// waits for the update, which would take the update for one that has not ended
// the process, and would begin main().
[[gnu::destructor]] void EndAfterMain() {
  if (!g_applies_enabled.try_lock()) return;
  delete g_manager.exchange(nullptr);
}

}  // namespace
}  // namespace instar

namespace instar {
namespace {

using ProgramMain = int (*)(int, char**, char**);

// Of one that is about to be laid on all threads: whether the manager goes on,
// if there is one.
bool LookAtFilter(const sock_fprog& filter) {
  if (g_managed.load() != getpid() || g_manager.load() == nullptr) return false;
  const absl::Status may_go_on = Manager::MayGoOnUnder(filter);
  if (may_go_on.ok()) return true;
  const std::lock_guard<std::mutex> lock(g_applies_enabled);
  Say(absl::StrCat("the manager ends: ", may_go_on.message()));
  delete g_manager.exchange(nullptr);
  return false;
}

ProgramMain g_main = nullptr;  // the program's; set once, before it is called

int MainAfterUpdates(int argc, char** argv, char** environment) {
  if (Manager* const manager = g_manager.load(); manager != nullptr) {
    const std::lock_guard<std::mutex> lock(g_applies_enabled);
    manager->ApplyEnabled();
  }
  return g_main(argc, argv, environment);
}

}  // namespace
}  // namespace instar

// In place of the one of libc, to which every program comes first. It calls the
// static initializers of the program, those of its libraries having run, and
// then what it takes for main().
extern "C" __attribute__((visibility("default"))) int __libc_start_main(
    instar::ProgramMain main, int argc, char** argv, void (*init)(),
    void (*fini)(), void (*linker_fini)(), void* stack_end) {
  const auto original = reinterpret_cast<decltype(&__libc_start_main)>(
      dlsym(RTLD_NEXT, "__libc_start_main"));
  if (original == nullptr) {
    instar::Say("the C library has no __libc_start_main");
    abort();
  }
  instar::g_main = main;
  return original(&instar::MainAfterUpdates, argc, argv, init, fini,
                  linker_fini, stack_end);
}

// In place of the one of libc, for the child that it leaves.
extern "C" __attribute__((visibility("default"))) int daemon(int keep_folder,
                                                             int keep_output) {
  const auto original =
      reinterpret_cast<int (*)(int, int)>(dlsym(RTLD_NEXT, "daemon"));
  if (original == nullptr) return errno = ENOSYS, -1;
  const int result = original(keep_folder, keep_output);
  const int saved_errno = errno;
  // Not where there was none before.
  if (result == 0 && instar::g_managed.load() != 0 && instar::TakeCharge()) {
    instar::StartManager();
  }
  errno = saved_errno;
  return result;
}

// In place of the one of libc, by which filters are laid on all threads: there
// is no function for that.
extern "C" __attribute__((visibility("default"))) long syscall(long number,
                                                               ...) noexcept {
  va_list list;
  va_start(list, number);
  long arguments[6];
  for (long& argument : arguments) argument = va_arg(list, long);
  va_end(list);
  bool is_looked_at = false;
  if (number == SYS_seccomp && arguments[0] == SECCOMP_SET_MODE_FILTER &&
      (arguments[1] & SECCOMP_FILTER_FLAG_TSYNC) != 0 && arguments[2] != 0) {
    const int saved_errno = errno;
    is_looked_at = instar::LookAtFilter(
        *reinterpret_cast<const sock_fprog*>(arguments[2]));
    errno = saved_errno;
  }
  const long result =
      instar::RawSyscall(number, arguments[0], arguments[1], arguments[2],
                         arguments[3], arguments[4], arguments[5]);
  // Otherwise the number of a thread that has other ones.
  if (is_looked_at && result == 0) {
    const int saved_errno = errno;
    instar::MarkFilters();
    errno = saved_errno;
  }
  if (result >= 0 || result < -4095) return result;
  errno = static_cast<int>(-result);
  return -1;
}
