// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A controlled thread that exists before it is wanted: while a program stands
// still, none can be started safely, and whoever starts one wants no error
// then.
//
//   absl::StatusOr<ParkedThread> parked =
//       ParkedThread::Make("display", ThreadKind::kActive, [] { Display(); });
//   ...
//   ThreadRef display = parked->Start();    // fails never
//
// Until Start() it is no controlled thread: it is not listed, not held, and
// waits outside of the program's code, with the program's signals blocked. If
// its ParkedThread goes before, it ends without having run anything; its
// function is destroyed with the handle. After Start() it is detached, and
// blocks the signals that the program's threads block: those of the thread that
// called Make(), or of the program's first one if that was a thread of the
// library.
//
// Threads: a handle is used by one thread at a time. What happened before
// Start() happens before the function runs.

#ifndef INSTAR_THREADS_PARKED_THREAD_H_
#define INSTAR_THREADS_PARKED_THREAD_H_

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "threads/thread_ref.h"

namespace instar {

class ParkedThread {
 public:
  // ResourceExhausted if the system gives no thread.
  static absl::StatusOr<ParkedThread> Make(std::string name, ThreadKind kind,
                                           absl::AnyInvocable<void()> function);

  ParkedThread(ParkedThread&&) noexcept = default;
  ParkedThread& operator=(ParkedThread&& other) noexcept;
  ~ParkedThread();

  // Once.
  ThreadRef Start();

 private:
  struct State;
  explicit ParkedThread(std::shared_ptr<State> state)
      : state_(std::move(state)) {}

  void End();

  std::shared_ptr<State> state_;  // null after Start()
};

}  // namespace instar

#endif  // INSTAR_THREADS_PARKED_THREAD_H_
