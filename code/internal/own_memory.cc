// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/internal/own_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <x86intrin.h>

#include <cerrno>
#include <cstring>

#include "base/error_text.h"
#include "base/linux/maps.h"
#include "base/linux/own_descriptor.h"

namespace instar {
namespace code_internal {
namespace {

constexpr char kWithoutPatching[] =
    ". Use a Redefinable (code/redefinable.h), which changes no code";

pid_t g_owner = 0;  // the process that opened the file

// Never destroyed: threads may change code while the process ends.
OwnDescriptor& Memory() {
  static auto& memory = *new OwnDescriptor();
  return memory;
}

// A page that can be read and executed, for ProbeMemory(). Null: not mapped
// yet.
const volatile uint64_t* g_probe = nullptr;

// `is_protected`: nor may a page be made writable in its place.
absl::Status CannotOpen(bool is_protected) {
  const int error = errno;
  const char* remedy = "";
  if (error == ENOENT) {
    remedy =
        "; /proc is not there. Start the manager before the process calls "
        "chroot(2), and do not close its files";
  } else if (is_protected) {
    remedy =
        "; the process has changed its user, or is not dumpable for another "
        "reason, or /proc is read-only; and no page may be made writable: "
        "MemoryDenyWriteExecute=no in the unit file of a service allows that, "
        "if no security module forbids it. Or start the manager before";
  } else if (prctl(PR_GET_DUMPABLE) != 1) {
    remedy =
        "; the process is not dumpable, since it has changed its user or "
        "called prctl(PR_SET_DUMPABLE, 0). Start the manager before it does, "
        "and do not close its files; or call prctl(PR_SET_DUMPABLE, 1)";
  }
  return ErrorWithText(absl::StatusCode::kPermissionDenied,
                       "cannot open /proc/self/mem for writing: %s; code of "
                       "this process cannot be changed%s%s",
                       strerrordesc_np(error), remedy, kWithoutPatching);
}

// Where the file cannot be opened: its owner is root, in a process that has
// changed its user; or /proc is mounted read-only. The page is writable and
// executable for a moment, which a policy may forbid (MemoryDenyWriteExecute,
// SELinux); false with errno then, or if it is not known how the page is
// protected.
bool WriteThroughProtection(uintptr_t address, const void* bytes, size_t size) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = address & ~(page - 1);
  const uintptr_t end = (address + size + page - 1) & ~(page - 1);
  int protection = -1;
  if (!VisitMappings([&](const Mapping& mapping) {
        if (begin < mapping.low || mapping.high < end) return true;
        protection = (mapping.readable ? PROT_READ : 0) |
                     (mapping.writable ? PROT_WRITE : 0) |
                     (mapping.executable ? PROT_EXEC : 0);
        return false;
      })) {
    return false;
  }
  if (protection < 0) return errno = EFAULT, false;
  void* const pages = reinterpret_cast<void*>(begin);
  if (mprotect(pages, end - begin, protection | PROT_WRITE) != 0) return false;
  memcpy(reinterpret_cast<void*>(address), bytes, size);
  // The ranges were one before, so that nothing is missing for it.
  return mprotect(pages, end - begin, protection) == 0;
}

absl::Status MapProbe() {
  if (g_probe != nullptr) return absl::OkStatus();
  // As code is: where that must not become writable, it shows here.
  void* const page = mmap(nullptr, sizeof(*g_probe), PROT_READ | PROT_EXEC,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) {
    return ErrorWithText(absl::StatusCode::kResourceExhausted,
                         "cannot map a page: %s", strerrordesc_np(errno));
  }
  g_probe = static_cast<const volatile uint64_t*>(page);
  return absl::OkStatus();
}

// Writes a value that stands nowhere else into the page. Not there: the file is
// something else, the memory of the parent of a child that was made without
// fork()'s handlers, say.
absl::Status ProbeMemory(WriteAtCall write_at) {
  static uint64_t number = 0;
  const uint64_t value = (++number << 48) ^ __rdtsc();
  return WriteOwnMemory(reinterpret_cast<uintptr_t>(g_probe), &value,
                        sizeof(value), write_at);
}

}  // namespace

absl::Status OpenOwnMemory(WriteAtCall write_at) {
  if (const absl::Status mapped = MapProbe(); !mapped.ok()) return mapped;
  const absl::Status probed = ProbeMemory(write_at);
  if (probed.code() != absl::StatusCode::kInternal) return probed;
  CloseOwnMemory();
  return ProbeMemory(write_at);
}

absl::Status WriteOwnMemory(uintptr_t address, const void* bytes, size_t size,
                            WriteAtCall write_at) {
  const auto* from = static_cast<const char*>(bytes);
  uintptr_t to = address;
  for (size_t left = size; left > 0;) {
    if (const pid_t self = getpid(); g_owner != self) {
      CloseOwnMemory();
      g_owner = self;
    }
    // Each time: other threads close files, too.
    const int file = Memory().NumberOrOpen(
        [] { return open("/proc/thread-self/mem", O_RDWR | O_CLOEXEC); });
    if (file < 0) {
      const int error = errno;
      bool is_protected = false;
      if (error == EACCES || error == EPERM || error == EROFS) {
        if (WriteThroughProtection(to, from, left)) break;
        is_protected = errno == EACCES || errno == EPERM;
      }
      errno = error;
      return CannotOpen(is_protected);
    }
    const ssize_t written = write_at(file, from, left, to);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const char* const why =
          written < 0 ? strerrordesc_np(errno) : "nothing was written";
      return ErrorWithText(
          absl::StatusCode::kPermissionDenied,
          "cannot write %u bytes of code at %#x through /proc/self/mem: %s; "
          "the kernel may be configured to forbid it%s",
          left, to, why, kWithoutPatching);
    }
    from += written;
    to += static_cast<uintptr_t>(written);
    left -= static_cast<size_t>(written);
  }
  // The compiler knows nothing of the write.
  asm volatile("" ::: "memory");
  if (memcmp(reinterpret_cast<const void*>(address), bytes, size) == 0) {
    return absl::OkStatus();
  }
  return ErrorWithText(
      absl::StatusCode::kInternal,
      "%u bytes of code were written at %#x through /proc/self/mem, and memory "
      "does not have them: the file is not the memory of this process%s",
      size, address, kWithoutPatching);
}

void CloseOwnMemory() {
  if (g_owner != 0) Memory().Close();
}

}  // namespace code_internal
}  // namespace instar
