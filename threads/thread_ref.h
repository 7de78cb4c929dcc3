// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Names a controlled thread, without owning it.
//
//   for (const ThreadRef& thread : ControlledThreads()) {
//     absl::PrintF("%s is %s\n", thread.name(), ToString(thread.state()));
//   }
//
// Lifetime: any; of a thread that has ended, name, kind and state "ended" are
// left. Threads: a value type; may be used from any thread. state() is a
// snapshot: only that of the calling thread, and of threads held at a
// rendezvous, is still true when it returns.

#ifndef INSTAR_THREADS_THREAD_REF_H_
#define INSTAR_THREADS_THREAD_REF_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "threads/internal/thread_record.h"
#include "threads/thread_state.h"

namespace instar {

class ThreadRef {
 public:
  const std::string& name() const { return record_->name; }
  ThreadKind kind() const { return record_->kind; }
  ThreadState state() const {
    return record_->state.load(std::memory_order_relaxed);
  }
  // As gettid() names it; 0 before the thread has begun.
  pid_t tid() const { return record_->tid.load(std::memory_order_relaxed); }

  friend bool operator==(const ThreadRef& a, const ThreadRef& b) {
    return a.record_ == b.record_;
  }
  friend bool operator!=(const ThreadRef& a, const ThreadRef& b) {
    return a.record_ != b.record_;
  }

  // For this package.
  explicit ThreadRef(std::shared_ptr<threads_internal::ThreadRecord> record)
      : record_(std::move(record)) {}
  const std::shared_ptr<threads_internal::ThreadRecord>& record() const {
    return record_;
  }

 private:
  std::shared_ptr<threads_internal::ThreadRecord> record_;
};

// All controlled threads, from their start to their end, oldest first.
std::vector<ThreadRef> ControlledThreads();

// Those with this name; names need not be unique.
std::vector<ThreadRef> ControlledThreads(absl::string_view name);

// The calling thread, if it is a controlled one.
std::optional<ThreadRef> ThisControlledThread();

}  // namespace instar

#endif  // INSTAR_THREADS_THREAD_REF_H_
