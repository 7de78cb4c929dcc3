// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Addresses that the kernel keeps for this process, and gives back some time:
// handlers of signals, what epolls and timers (timer_create) give to whoever
// waits for them. And where it may keep some that nobody can see: what waits in
// pipes and AF_UNIX sockets, in an io_uring, in signals that are blocked, what
// a message queue is to notify with (mq_notify). Internal to manager/module.
//
// Threads: one. Allocates nothing, and takes no lock: other threads may be
// held.

#ifndef INSTAR_MANAGER_MODULE_SCAN_KERNEL_REFERENCES_H_
#define INSTAR_MANAGER_MODULE_SCAN_KERNEL_REFERENCES_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"

namespace instar {
namespace manager_internal {

struct KernelReference {
  enum class Kind {
    kSignalHandler,
    kSignalStack,  // of the calling thread
    kEpoll,
    kTimer,
    // Not seen:
    kQueuedSignal,
    kPipe,
    kSocket,
    kRing,
    kMessageQueue,
    kNoThreads,
    kNoTimers,
    kNoDescriptors,
    kTooLong,
  };
  Kind kind;
  std::uintptr_t number;  // of the signal or the descriptor
  std::uintptr_t value;   // the address, if there is one

  bool has_address() const { return kind < Kind::kQueuedSignal; }
  // "the handler of signal 10", or why it is not known: a phrase.
  std::string ToString() const;
};

// The first address that `leads` to what is looked for, or what cannot be seen.
std::optional<KernelReference> FindKernelReference(
    absl::FunctionRef<bool(std::uintptr_t)> leads,
    std::chrono::steady_clock::time_point until);

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_SCAN_KERNEL_REFERENCES_H_
