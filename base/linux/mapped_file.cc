// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/mapped_file.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/fork_mutex.h"

namespace instar {
namespace {

// Of this thread. In the first block of thread-local storage, so that the
// handler allocates nothing.
__attribute__((tls_model("initial-exec"))) thread_local int t_guards = 0;
__attribute__((tls_model("initial-exec"))) thread_local int t_hits = 0;

// The handler that ours leads to.
struct sigaction previous_handler;
// The one that was there when nobody else could lead to ours. A handler that
// the program installs while a guard exists keeps ours as the one before it,
// for ever. When a later guard finds it, that is the previous one: it and ours
// would call each other without end.
struct sigaction first_handler;
bool others_lead_to_ours = false;

// Marks a signal that ours has seen already, in the last bytes of its
// siginfo_t, which the kernel clears for each. (A counter of the calls would be
// wrong for ever after a handler that leaves by siglongjmp().)
bool MarkAsSeen(siginfo_t* info) {
  constexpr std::uint64_t kSeen = 0x5ee2b05'1257a7;
  char* const end = reinterpret_cast<char*>(info) + sizeof(*info);
  std::uint64_t mark;
  std::memcpy(&mark, end - sizeof(mark), sizeof(mark));
  std::memcpy(end - sizeof(kSeen), &kSeen, sizeof(kSeen));
  return mark == kSeen;
}

void HandOn(int signal, siginfo_t* info, void* context) {
  const struct sigaction& next =
      MarkAsSeen(info) ? first_handler : previous_handler;
  if ((next.sa_flags & SA_SIGINFO) != 0) {
    next.sa_sigaction(signal, info, context);
  } else if (next.sa_handler == SIG_DFL || next.sa_handler == SIG_IGN) {
    // The access is made again, or the signal sent, and ends the process.
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    sigaction(signal, &standard, nullptr);
    if (info->si_code <= 0) raise(signal);
  } else {
    next.sa_handler(signal);
  }
}

void Handle(int signal, siginfo_t* info, void* context) {
  if (t_guards == 0 || info->si_code != BUS_ADRERR) {
    HandOn(signal, info, context);
    return;
  }
  const int saved_errno = errno;
  const auto page_size = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto page =
      reinterpret_cast<std::uintptr_t>(info->si_addr) & ~(page_size - 1);
  void* const zeros = mmap(reinterpret_cast<void*>(page), page_size, PROT_READ,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  errno = saved_errno;
  if (zeros == MAP_FAILED) {
    HandOn(signal, info, context);
    return;
  }
  ++t_hits;
}

// fork() does not wait for it: threads that have guards are not in the child.
ForkMutex g_installing;
int g_guards = 0;                    // of all threads; under g_installing
std::uint32_t g_guards_process = 0;  // the ForkGeneration() of who counted them

void ForgetThreadsOfParent() {
  if (g_guards_process == ForkGeneration()) return;
  g_guards_process = ForkGeneration();
  g_guards = t_guards;
}

bool IsInstalled() {
  struct sigaction current {};
  return sigaction(SIGBUS, nullptr, &current) == 0 &&
         (current.sa_flags & SA_SIGINFO) != 0 &&
         current.sa_sigaction == &Handle;
}

}  // namespace

TruncationGuard::TruncationGuard() {
  {
    std::lock_guard<ForkMutex> lock(g_installing);
    ForgetThreadsOfParent();
    if (g_guards++ == 0 && !IsInstalled()) {
      struct sigaction ours {};
      ours.sa_sigaction = &Handle;
      ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
      sigemptyset(&ours.sa_mask);
      sigaction(SIGBUS, nullptr, &previous_handler);
      if (!others_lead_to_ours) first_handler = previous_handler;
      sigaction(SIGBUS, &ours, nullptr);
    }
  }
  // The kernel ends a process that blocks the signal of a fault.
  sigset_t fault;
  sigemptyset(&fault);
  sigaddset(&fault, SIGBUS);
  pthread_sigmask(SIG_UNBLOCK, &fault, &mask_before_);
  hits_before_ = t_hits;
  ++t_guards;
}

TruncationGuard::~TruncationGuard() {
  pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
  std::lock_guard<ForkMutex> lock(g_installing);
  ForgetThreadsOfParent();
  --t_guards;
  // If the program has set another one meanwhile, that stays; it may lead to
  // ours, which leads to the one before.
  if (--g_guards != 0) return;
  if (IsInstalled()) {
    sigaction(SIGBUS, &previous_handler, nullptr);
    // From now on it is the previous one that leads to ours, if any.
    previous_handler = first_handler;
  } else {
    others_lead_to_ours = true;
  }
}

bool TruncationGuard::has_hit() const { return t_hits != hits_before_; }

absl::StatusOr<MappedFile> MappedFile::Of(int file, bool writable) {
  struct stat status {};
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode) ||
      status.st_size == 0) {
    return absl::FailedPreconditionError("it is no file with contents");
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  void* const data =
      mmap(nullptr, size, writable ? PROT_READ | PROT_WRITE : PROT_READ,
           MAP_PRIVATE | MAP_NORESERVE, file, 0);
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "its ", size, " bytes cannot be mapped: ", std::strerror(errno)));
  }
  return MappedFile(static_cast<char*>(data), size);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace instar
