// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "continuation/paused_computations.h"

#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include "base/at_fork.h"
#include "continuation/foreign_stacks.h"
#include "continuation/internal/control_block.h"

namespace instar {
namespace continuation_internal {
namespace {

// The threads that have started continulets.
class ThreadList {
 public:
  void Add(ThreadState* thread) {
    std::lock_guard<std::mutex> lock(mutex_);
    threads_.push_back(thread);
  }
  void Remove(ThreadState* thread) {
    std::lock_guard<std::mutex> lock(mutex_);
    threads_.erase(std::find(threads_.begin(), threads_.end(), thread));
  }
  // Around fork(), so that the child finds the list whole and unlocked.
  void Lock() { mutex_.lock(); }
  void Unlock() { mutex_.unlock(); }
  // In the child of a fork(), of all threads only the caller is there.
  void KeepCallingThread() {
    const bool listed = std::find(threads_.begin(), threads_.end(),
                                  &thread_state) != threads_.end();
    threads_.clear();
    if (listed) threads_.push_back(&thread_state);
    if (thread_state.tid != 0) thread_state.tid = gettid();
  }
  template <typename Visit>
  void ForEach(Visit visit) {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const ThreadState* thread : threads_) visit(*thread);
  }
  // False if the lock is taken.
  template <typename Visit>
  bool TryForEach(Visit visit) {
    std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return false;
    for (const ThreadState* thread : threads_) visit(*thread);
    return true;
  }

 private:
  std::mutex mutex_;
  std::vector<ThreadState*> threads_;
};

// Never destroyed: threads may end after the destructors of globals have run.
ThreadList& Threads() {
  static ThreadList& threads = *new ThreadList;
  return threads;
}

[[gnu::constructor]] void RegisterForkHandlers() {
  Threads();  // so that no fork() comes in the middle of its making
  SetForkHandlers(ForkOrder::kContinulets,
                  {[] { Threads().Lock(); }, [] { Threads().Unlock(); },
                   [] {
                     Threads().KeepCallingThread();
                     Threads().Unlock();
                   }});
}

PausedContext MakePausedContext(const MachineContext& context,
                                std::uintptr_t low, std::uintptr_t high) {
  return PausedContext{context.pc, context.sp, context.fp, low, high};
}

PausedContext ContextOfSwitcher(const ControlBlock& c) {
  const ControlBlock* const outer = c.outer;
  if (outer != nullptr) {
    return MakePausedContext(c.switcher, outer->stack.low(),
                             outer->stack.high());
  }
  PausedContext context =
      MakePausedContext(c.switcher, c.thread->stack_low, c.thread->stack_high);
  if (context.sp >= context.stack_low && context.sp < context.stack_high) {
    return context;
  }
  if (const auto foreign = FindForeignStack(context.sp)) {
    context.stack_low = foreign->low;
    context.stack_high = foreign->high;
    context.is_foreign = true;
  }
  return context;
}

}  // namespace

void AddThread(ThreadState* thread) { Threads().Add(thread); }

void RemoveThread(ThreadState* thread) { Threads().Remove(thread); }

PausedContext BodyContext(const ControlBlock& c) {
  return MakePausedContext(c.body, c.stack.low(), c.stack.high());
}

}  // namespace continuation_internal

using continuation_internal::ControlBlock;
using continuation_internal::thread_state;
using continuation_internal::ThreadState;

namespace {

void VisitPausedOf(const ThreadState& thread,
                   absl::FunctionRef<void(const PausedComputation&)> visit) {
  for (const ControlBlock* c = thread.started; c != nullptr;
       c = c->next_started) {
    PausedComputation paused;
    paused.tid = thread.tid;
    if (c->resumable_by.load(std::memory_order_relaxed) != nullptr) {
      paused.context = BodyContext(*c);
      paused.continulet = c->name_view();
    } else {
      paused.context = continuation_internal::ContextOfSwitcher(*c);
      if (c->outer != nullptr) paused.continulet = c->outer->name_view();
    }
    visit(paused);
  }
}

void VisitForeign(absl::FunctionRef<void(const PausedComputation&)> visit) {
  continuation_internal::VisitForeignStacks([&](const ForeignStack& stack) {
    PausedComputation paused;
    paused.context = stack.context;
    paused.continulet = stack.name;
    visit(paused);
  });
}

}  // namespace

void VisitPausedComputations(
    absl::FunctionRef<bool(int tid)> is_held,
    absl::FunctionRef<void(const PausedComputation&)> visit) {
  continuation_internal::Threads().ForEach([&](const ThreadState& thread) {
    if (is_held(thread.tid)) VisitPausedOf(thread, visit);
  });
  VisitForeign(visit);
}

void VisitPausedComputationsOfThisThread(
    absl::FunctionRef<void(const PausedComputation&)> visit) {
  VisitPausedOf(thread_state, visit);
  VisitForeign(visit);
}

bool TryVisitPausedComputations(
    absl::FunctionRef<bool(int tid)> is_settled,
    absl::FunctionRef<void(const PausedComputation&)> visit) {
  const bool visited = continuation_internal::Threads().TryForEach(
      [&](const ThreadState& thread) {
        if (thread.started == nullptr && thread.current == nullptr) return;
        if (is_settled(thread.tid)) VisitPausedOf(thread, visit);
      });
  if (visited) VisitForeign(visit);
  return visited;
}

void VisitSwitchers(absl::FunctionRef<bool(const PausedContext&)> visit) {
  for (const ControlBlock* c = thread_state.current; c != nullptr;
       c = c->outer) {
    if (!visit(continuation_internal::ContextOfSwitcher(*c))) return;
  }
}

std::optional<PausedContext> SwitcherContext() {
  std::optional<PausedContext> first;
  VisitSwitchers([&](const PausedContext& context) {
    first = context;
    return false;
  });
  return first;
}

std::optional<ContinuletStack> StackOfRunningContinulet() {
  const ControlBlock* const current = thread_state.current;
  if (current == nullptr) return std::nullopt;
  return ContinuletStack{current->stack.low(), current->stack.high()};
}

}  // namespace instar
