// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "continuation/paused_computations.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "continuation/control_block.h"

namespace instar {
namespace continuation_internal {
namespace {

struct ThreadList {
  std::mutex mutex;
  std::vector<ThreadState*> threads;
};

// Never destroyed: threads may end after the destructors of globals have run.
ThreadList& Threads() {
  static ThreadList& threads = *new ThreadList;
  return threads;
}

PausedContext MakePausedContext(const MachineContext& context,
                                std::uintptr_t low, std::uintptr_t high) {
  return PausedContext{context.rip, context.rsp, context.rbp, low, high};
}

PausedContext ContextOfSwitcher(const ControlBlock& c) {
  const ControlBlock* const outer = c.outer;
  return outer == nullptr ? MakePausedContext(c.switcher, c.thread->stack_low,
                                              c.thread->stack_high)
                          : MakePausedContext(c.switcher, outer->stack.low(),
                                              outer->stack.high());
}

}  // namespace

void AddThread(ThreadState* thread) {
  std::lock_guard<std::mutex> lock(Threads().mutex);
  Threads().threads.push_back(thread);
}

void RemoveThread(ThreadState* thread) {
  std::lock_guard<std::mutex> lock(Threads().mutex);
  std::vector<ThreadState*>& threads = Threads().threads;
  threads.erase(std::find(threads.begin(), threads.end(), thread));
}

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

}  // namespace

void VisitPausedComputations(
    absl::FunctionRef<void(const PausedComputation&)> visit) {
  std::lock_guard<std::mutex> lock(continuation_internal::Threads().mutex);
  for (const ThreadState* thread : continuation_internal::Threads().threads) {
    VisitPausedOf(*thread, visit);
  }
}

bool TryVisitPausedComputations(
    absl::FunctionRef<bool(int tid)> is_settled,
    absl::FunctionRef<void(const PausedComputation&)> visit) {
  std::unique_lock<std::mutex> lock(continuation_internal::Threads().mutex,
                                    std::try_to_lock);
  if (!lock.owns_lock()) return false;
  for (const ThreadState* thread : continuation_internal::Threads().threads) {
    if (thread->started == nullptr && thread->current == nullptr) continue;
    if (is_settled(thread->tid)) VisitPausedOf(*thread, visit);
  }
  return true;
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
