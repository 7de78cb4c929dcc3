// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/lock_owner.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/linux/tasks.h"

namespace instar {
namespace updates_internal {
namespace {

// What glibc writes into the futex of a mutex that somebody waits for.
constexpr int kContended = 2;

// Memory that may not be there.
bool Read(std::uintptr_t from, void* to, std::size_t size) {
  iovec local = {to, size};
  iovec remote = {reinterpret_cast<void*>(from), size};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) ==
         static_cast<ssize_t>(size);
}

}  // namespace

LockOwner FindLockOwner(pid_t waiter) {
  LockOwner owner;
  char text[256];
  long number = 0;
  std::uintptr_t address = 0;
  unsigned long operation = 0, value = 0;
  if (!ReadTaskFile(waiter, "syscall", text, sizeof(text)) ||
      std::sscanf(text, "%ld 0x%" SCNxPTR " 0x%lx 0x%lx", &number, &address,
                  &operation, &value) != 4 ||
      number != SYS_futex || value != kContended) {
    return owner;
  }
  const unsigned long command = operation & FUTEX_CMD_MASK;
  if (command != FUTEX_WAIT && command != FUTEX_WAIT_BITSET) return owner;
  pthread_mutex_t mutex;
  if (!Read(address, &mutex, sizeof(mutex)) ||
      mutex.__data.__lock != kContended || mutex.__data.__owner <= 0 ||
      mutex.__data.__owner == waiter) {
    return owner;
  }
  // It may be no mutex: then this is no thread of the process, as a rule.
  if (!ReadTaskFile(mutex.__data.__owner, "comm", owner.name,
                    sizeof(owner.name))) {
    return owner;
  }
  owner.name[std::strcspn(owner.name, "\n")] = '\0';
  owner.tid = mutex.__data.__owner;
  return owner;
}

std::string Describe(const LockOwner& owner) {
  if (owner.tid == 0) return "";
  return absl::StrCat(", which waits for a lock that thread ", owner.tid, " ('",
                      owner.name, "') has");
}

}  // namespace updates_internal
}  // namespace instar
