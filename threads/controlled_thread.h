// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Threads that can be updated: start_active_threads and start_passive_threads
// of PyMoult (HotSWUP'13), section 2.1.
//
//   ControlledThread display = StartActiveThread("display", DisplayMain);
//   ControlledThread commands = StartPassiveThread("commands", Serve, port);
//   ...
//   SetUpdateFunction(display.ref(), update).Trigger();
//                                             // they are joined here
//
//   // A thread that something else started, for as long as the function runs:
//   pool.Submit([] {
//     RunControlled("worker", ThreadKind::kPassive, [] { Work(); });
//   });
//   // The same without a function around it, and without reboots:
//   ControlledThisThread worker("worker");
//
// A passive thread is updated where it calls UpdatePoint(). An active thread is
// updated there, too, and besides at the next entry into any updatable function
// that code/entry_interception.h covers, while an update is pending: it costs
// nothing before that. A loop that calls nothing updatable never comes to such
// a point; put an UpdatePoint() into it. A thread that is not controlled is
// never held, updated or rebooted.
//
// The function and its arguments are copied or moved as by std::thread; the
// states of a thread are those of threads/thread_state.h.
//
// Exceptions: one that leaves the function ends the program, as with
// std::thread; out of RunControlled() it goes on to its caller. That holds,
// too, for one that replaces a reboot on its way: the thread ends, and the
// request fails. A reboot that was stored (std::packaged_task, std::async, a
// promise) and is thrown again in another thread, or later, is said on standard
// error and is an exception like others there; the thread that was to be
// rebooted tries again at its next update point.
//
// pthread_exit() and pthread_cancel() work as in any thread, also within an
// update function: the thread's stacks are unwound, and requests for it fail.
//
// Lifetime: a ControlledThread joins when it goes, so it must not be destroyed
// by its own thread. Threads: a handle is used by one thread at a time; a
// ThreadRef by any.

#ifndef INSTAR_THREADS_CONTROLLED_THREAD_H_
#define INSTAR_THREADS_CONTROLLED_THREAD_H_

#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "threads/thread_ref.h"

namespace instar {

namespace threads_internal {
class ThreadSession;  // threads/internal/thread_body.h
}  // namespace threads_internal

class ControlledThread {
 public:
  ControlledThread() = default;  // of no thread
  ControlledThread(ControlledThread&&) noexcept = default;
  // Joins the thread that it had.
  ControlledThread& operator=(ControlledThread&& other) noexcept;
  ~ControlledThread() { Join(); }

  // Waits for the thread's end; does nothing the second time.
  void Join();

  // Not of a handle of no thread.
  const std::string& name() const { return ref().name(); }
  ThreadKind kind() const { return ref().kind(); }
  ThreadState state() const { return ref().state(); }
  ThreadRef ref() const;
  operator ThreadRef() const { return ref(); }  // NOLINT: as its reference

 private:
  friend ControlledThread StartThread(std::string, ThreadKind,
                                      absl::AnyInvocable<void()>);

  std::shared_ptr<threads_internal::ThreadRecord> record_;
  std::thread thread_;
};

// Throws std::system_error if the system gives no thread.
ControlledThread StartThread(std::string name, ThreadKind kind,
                             absl::AnyInvocable<void()> function);

// Runs `function` on the calling thread, which is a controlled thread until it
// returns. Not within another RunControlled().
void RunControlled(std::string name, ThreadKind kind,
                   absl::AnyInvocable<void()> function);

// The calling thread is a controlled thread for as long as this lives. Unlike
// RunControlled() it has no function that a reboot could end: a request to
// reboot the thread fails, and a plan that would reboot it is not applied; both
// say so. Not in a thread that is controlled already.
class ControlledThisThread {
 public:
  explicit ControlledThisThread(std::string name,
                                ThreadKind kind = ThreadKind::kPassive);
  // On the same thread.
  ~ControlledThisThread();
  ControlledThisThread(const ControlledThisThread&) = delete;
  ControlledThisThread& operator=(const ControlledThisThread&) = delete;

  ThreadRef ref() const { return ThreadRef(record_); }

 private:
  const std::shared_ptr<threads_internal::ThreadRecord> record_;
  const std::unique_ptr<threads_internal::ThreadSession> session_;
};

namespace threads_internal {

// A function and its arguments, as one callable.
template <typename F, typename... Args>
absl::AnyInvocable<void()> Bind(F&& function, Args&&... args) {
  return [function = std::decay_t<F>(std::forward<F>(function)),
          arguments = std::tuple<std::decay_t<Args>...>(
              std::forward<Args>(args)...)]() mutable {
    std::apply(std::move(function), std::move(arguments));
  };
}

}  // namespace threads_internal

template <typename F, typename... Args>
ControlledThread StartActiveThread(std::string name, F&& function,
                                   Args&&... args) {
  return StartThread(std::move(name), ThreadKind::kActive,
                     threads_internal::Bind(std::forward<F>(function),
                                            std::forward<Args>(args)...));
}

template <typename F, typename... Args>
ControlledThread StartPassiveThread(std::string name, F&& function,
                                    Args&&... args) {
  return StartThread(std::move(name), ThreadKind::kPassive,
                     threads_internal::Bind(std::forward<F>(function),
                                            std::forward<Args>(args)...));
}

}  // namespace instar

#endif  // INSTAR_THREADS_CONTROLLED_THREAD_H_
