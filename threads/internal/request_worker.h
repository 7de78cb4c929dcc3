// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Sees to it that threads notice what is pending. Internal to this package.
//
// It has a thread of its own, which exists while requests are pending. That
// sets the attention of threads whose requests are due, intercepts function
// entries while one of them needs it, and gets threads out of blocking calls.
// The program's signals are blocked in it (base/linux/blocked_signals.h).

#ifndef INSTAR_THREADS_INTERNAL_REQUEST_WORKER_H_
#define INSTAR_THREADS_INTERNAL_REQUEST_WORKER_H_

#include <chrono>
#include <memory>

#include "absl/status/status.h"
#include "threads/internal/pending_request.h"

namespace instar {
namespace threads_internal {

class RequestWorker {
 public:
  static RequestWorker& Get();

  void Add(std::shared_ptr<PendingRequest> request);
  // Something has changed: look again.
  void Notify();

  // Entries of updatable functions are intercepted while they are held; shared
  // by all who hold them.
  absl::Status HoldEntries();
  void ReleaseEntries();
  // For how long entries were held the last time, since every thread pays for
  // it meanwhile: a few milliseconds at most.
  std::chrono::nanoseconds interception_cost() const;

  // Around fork() (threads/internal/fork_handlers.h). The lock under which
  // entries are held is owned for as long as symbols are read: fork() does not
  // wait for it, and without it the child begins anew.
  bool TryLockEntriesForFork();
  void LockForFork();
  void UnlockAfterFork(bool owns_entries);
  void ForgetAllInChild(bool owns_entries);

 private:
  struct State;
  RequestWorker();
  void Run();

  State* const state_;
};

}  // namespace threads_internal
}  // namespace instar

#endif  // INSTAR_THREADS_INTERNAL_REQUEST_WORKER_H_
