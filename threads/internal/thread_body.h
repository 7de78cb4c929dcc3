// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What makes a thread a controlled one, and what such a thread runs. Internal
// to this package.

#ifndef INSTAR_THREADS_INTERNAL_THREAD_BODY_H_
#define INSTAR_THREADS_INTERNAL_THREAD_BODY_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "code/entry_interception.h"
#include "threads/internal/thread_record.h"

namespace instar {
namespace threads_internal {

// A record for the calling thread, which is in no registry yet. Fatal if the
// thread is controlled already.
std::shared_ptr<ThreadRecord> RecordOfThisThread(std::string name,
                                                 ThreadKind kind);

// The calling thread, whose record has been added to the registry, is
// controlled while this lives; then the record is removed.
class ThreadSession {
 public:
  explicit ThreadSession(ThreadRecord& record);
  ~ThreadSession();
  ThreadSession(const ThreadSession&) = delete;
  ThreadSession& operator=(const ThreadSession&) = delete;

 private:
  ThreadRecord& record_;
  // Called only while something is wanted of an active thread.
  std::optional<ScopedEntryInterceptor> interceptor_;
};

// On the thread itself, whose record has been added to the registry: runs
// `main`, and whatever it is rebooted into, and removes the record.
void RunThread(ThreadRecord& record, absl::AnyInvocable<void()> main);

}  // namespace threads_internal
}  // namespace instar

#endif  // INSTAR_THREADS_INTERNAL_THREAD_BODY_H_
