// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/scan/kernel_references.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/linux/own_descriptor.h"
#include "base/linux/tasks.h"

namespace instar {
namespace manager_internal {
namespace {

using Clock = std::chrono::steady_clock;
using Kind = KernelReference::Kind;
using Leads = absl::FunctionRef<bool(std::uintptr_t)>;

constexpr int kSignals = 64;

// Calls `visit` with each line of a file of /proc, without its end, until that
// answers false. False if the file cannot be read.
bool VisitLines(const char* path, absl::FunctionRef<bool(const char*)> visit) {
  const OwnDescriptor file(open(path, O_RDONLY | O_CLOEXEC));
  char text[4096];  // longer than any line
  std::size_t filled = 0;
  while (true) {
    const ssize_t got =
        read(file.number(), text + filled, sizeof(text) - 1 - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    filled += static_cast<std::size_t>(got);
    text[filled] = '\0';
    char* line = text;
    while (char* const end = std::strchr(line, '\n')) {
      *end = '\0';
      if (!visit(line)) return true;
      line = end + 1;
    }
    filled -= static_cast<std::size_t>(line - text);
    std::memmove(text, line, filled + 1);
    if (got == 0) return true;
    if (filled == sizeof(text) - 1) return false;
  }
}

// The number behind `key`, if that is in the line.
std::optional<std::uintptr_t> NumberBehind(const char* line, const char* key) {
  const char* const at = std::strstr(line, key);
  if (at == nullptr) return std::nullopt;
  return std::strtoull(at + std::strlen(key), nullptr, 16);
}

std::optional<KernelReference> FindInSignals(Leads leads) {
  for (int number = 1; number <= kSignals; ++number) {
    struct sigaction action;
    if (sigaction(number, nullptr, &action) != 0) continue;
    const auto handler = reinterpret_cast<std::uintptr_t>(action.sa_sigaction);
    if (leads(handler)) {
      return KernelReference{Kind::kSignalHandler,
                             static_cast<std::uintptr_t>(number), handler};
    }
  }
  // Of threads that are held, it is in the registers that the kernel has saved.
  stack_t stack;
  if (sigaltstack(nullptr, &stack) == 0 && (stack.ss_flags & SS_DISABLE) == 0) {
    const auto at = reinterpret_cast<std::uintptr_t>(stack.ss_sp);
    if (leads(at)) return KernelReference{Kind::kSignalStack, 0, at};
  }
  return std::nullopt;
}

// Signals of the whole process and of each thread that wait: whatever their
// number, they may have a value with them (sigqueue(3)).
std::optional<KernelReference> FindQueuedSignal(Clock::time_point until) {
  std::optional<KernelReference> found;
  const bool is_listed = VisitTasks([&](pid_t tid) {
    char status[4096];
    if (!ReadTaskFile(tid, "status", status, sizeof(status))) {
      if (HasTaskEnded(tid)) return true;
      found = KernelReference{Kind::kNoThreads, 0, 0};
      return false;
    }
    const std::uintptr_t waiting =
        NumberBehind(status, "\nSigPnd:").value_or(0) |
        NumberBehind(status, "\nShdPnd:").value_or(0);
    for (int number = 1; number <= kSignals; ++number) {
      if ((waiting >> (number - 1) & 1) == 0) continue;
      found = KernelReference{Kind::kQueuedSignal,
                              static_cast<std::uintptr_t>(number), 0};
    }
    if (!found.has_value() && Clock::now() > until) {
      found = KernelReference{Kind::kTooLong, 0, 0};
    }
    return !found.has_value();
  });
  if (!is_listed && !found.has_value()) {
    return KernelReference{Kind::kNoThreads, 0, 0};
  }
  return found;
}

std::optional<KernelReference> FindInTimers(Leads leads) {
  std::optional<KernelReference> found;
  const bool is_there = VisitLines("/proc/self/timers", [&](const char* line) {
    // signal: NUMBER/VALUE
    const char* const signal = std::strstr(line, "signal:");
    const auto value =
        signal == nullptr ? std::nullopt : NumberBehind(signal, "/");
    if (value.has_value() && leads(*value)) {
      found = KernelReference{Kind::kTimer, 0, *value};
    }
    return !found.has_value();
  });
  if (!is_there) return KernelReference{Kind::kNoTimers, 0, 0};
  return found;
}

// Whether there is something that this descriptor is to read.
bool HasUnread(int descriptor) {
  int size = 0;
  return (fcntl(descriptor, F_GETFL) & O_ACCMODE) != O_WRONLY &&
         ioctl(descriptor, FIONREAD, &size) == 0 && size > 0;
}

bool IsWithinHost(int descriptor) {
  int domain = 0;
  socklen_t size = sizeof(domain);
  return getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
         domain == AF_UNIX;
}

// Message queues have names of one part, as few files have.
bool IsMessageQueue(int descriptor, const char* target) {
  constexpr long kFileSystem = 0x19800202;  // MQUEUE_MAGIC
  struct statfs of;
  return target[0] == '/' && std::strchr(target + 1, '/') == nullptr &&
         fstatfs(descriptor, &of) == 0 && of.f_type == kFileSystem;
}

// What the descriptor of this number is, as /proc calls it.
std::optional<KernelReference> FindInDescriptor(int descriptor,
                                                const char* target,
                                                Leads leads) {
  const auto number = static_cast<std::uintptr_t>(descriptor);
  if (std::strstr(target, "[io_uring]") != nullptr) {
    return KernelReference{Kind::kRing, number, 0};
  }
  // Whoever started the program writes to its standard input.
  if (std::strncmp(target, "pipe:", 5) == 0 && descriptor != STDIN_FILENO &&
      HasUnread(descriptor)) {
    return KernelReference{Kind::kPipe, number, 0};
  }
  if (std::strncmp(target, "socket:", 7) == 0 && IsWithinHost(descriptor) &&
      HasUnread(descriptor)) {
    return KernelReference{Kind::kSocket, number, 0};
  }
  if (IsMessageQueue(descriptor, target)) {
    return KernelReference{Kind::kMessageQueue, number, 0};
  }
  if (std::strstr(target, "[eventpoll]") == nullptr) return std::nullopt;
  char path[64];
  std::snprintf(path, sizeof(path), "/proc/thread-self/fdinfo/%d", descriptor);
  std::optional<KernelReference> found;
  const bool is_there = VisitLines(path, [&](const char* line) {
    const auto value = NumberBehind(line, "data:");
    if (value.has_value() && leads(*value)) {
      found = KernelReference{Kind::kEpoll, number, *value};
    }
    return !found.has_value();
  });
  if (!is_there) return KernelReference{Kind::kNoDescriptors, 0, 0};
  return found;
}

std::optional<KernelReference> FindInDescriptors(Leads leads,
                                                 Clock::time_point until) {
  struct Entry {  // getdents64(2)
    std::uint64_t inode;
    std::int64_t offset;
    unsigned short size;
    unsigned char type;
    char name[1];
  };
  const OwnDescriptor folder(
      open("/proc/thread-self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  alignas(8) char entries[4096];
  while (true) {
    const long size =
        syscall(SYS_getdents64, folder.number(), entries, sizeof(entries));
    if (size == 0) return std::nullopt;
    if (size < 0) return KernelReference{Kind::kNoDescriptors, 0, 0};
    for (long at = 0; at < size;) {
      const auto* const entry = reinterpret_cast<const Entry*>(entries + at);
      const char* const name = entries + at + offsetof(Entry, name);
      at += entry->size;
      char target[64];
      const ssize_t length =
          readlinkat(folder.number(), name, target, sizeof(target) - 1);
      if (length <= 0) continue;
      target[length] = '\0';
      const auto found = FindInDescriptor(std::atoi(name), target, leads);
      if (found.has_value()) return found;
    }
    if (Clock::now() > until) return KernelReference{Kind::kTooLong, 0, 0};
  }
}

}  // namespace

std::string KernelReference::ToString() const {
  switch (kind) {
    case Kind::kSignalHandler:
      return absl::StrCat("the handler of signal ", number);
    case Kind::kSignalStack:
      return "the stack on which a thread handles signals";
    case Kind::kEpoll:
      return absl::StrCat("what epoll ", number, " gives to who waits");
    case Kind::kTimer:
      return "what a timer gives to who handles its signal";
    case Kind::kQueuedSignal:
      return absl::StrCat("what comes with signal ", number,
                          ", which waits, cannot be seen");
    case Kind::kPipe:
      return absl::StrCat("what waits in pipe ", number, " cannot be seen");
    case Kind::kSocket:
      return absl::StrCat("what waits in socket ", number, " cannot be seen");
    case Kind::kRing:
      return absl::StrCat("what waits in the io_uring ", number,
                          " cannot be seen");
    case Kind::kMessageQueue:
      return absl::StrCat("what message queue ", number,
                          " is to notify with cannot be seen");
    case Kind::kNoThreads:
      return "its threads cannot be listed (/proc/self/task)";
    case Kind::kNoTimers:
      return "its timers cannot be listed (/proc/self/timers)";
    case Kind::kNoDescriptors:
      return "its open files cannot be listed (/proc/self/fd)";
    case Kind::kTooLong:
      break;
  }
  return "there was no more time";
}

std::optional<KernelReference> FindKernelReference(Leads leads,
                                                   Clock::time_point until) {
  std::optional<KernelReference> found = FindInSignals(leads);
  if (!found.has_value()) found = FindQueuedSignal(until);
  if (!found.has_value()) found = FindInTimers(leads);
  if (!found.has_value()) found = FindInDescriptors(leads, until);
  return found;
}

}  // namespace manager_internal
}  // namespace instar
