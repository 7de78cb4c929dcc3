// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "continuation/continulet.h"

#include <pthread.h>
#include <unistd.h>
#include <unwind.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/forced_unwind.h"
#include "base/fork_mutex.h"
#include "base/linux/stack_bounds.h"
#include "continuation/internal/cancellation_failure.h"
#include "continuation/internal/stack_overflow.h"

namespace instar {
namespace continuation_internal {

__thread ThreadState thread_state ABSL_ATTRIBUTE_INITIAL_EXEC;

namespace {

// How often a cancellation is thrown into a body that keeps swallowing it.
constexpr int kCancelAttempts = 100;

// Stands for every thread that has ended.
ThreadState ended_thread;

// Runs when the thread has ended, after the destructors of its thread_local
// variables. The next thread may have its state at the same address: what is
// still paused must not be taken for that thread's.
void DisownContinulets(void* state) {
  auto* const thread = static_cast<ThreadState*>(state);
  for (ControlBlock* c = thread->started; c != nullptr; c = c->next_started) {
    c->resumable_by.store(nullptr, std::memory_order_relaxed);
    c->thread = &ended_thread;
  }
}

void DisownContinuletsAtThreadEnd() {
  static ForkOnce<pthread_key_t> once;
  const pthread_key_t key = once.Get([] {
    pthread_key_t created;
    INSTAR_CHECK(pthread_key_create(&created, &DisownContinulets) == 0);
    return created;
  });
  INSTAR_CHECK(pthread_setspecific(key, &thread_state) == 0);
}

// What a thread has from its first continulet to its end.
struct ThreadResources {
  ThreadResources() { AddThread(&thread_state); }
  // Continulets of thread_local and global variables may outlive this: all that
  // a switch needs stays in place until the thread has ended.
  ~ThreadResources() { RemoveThread(&thread_state); }
  AlternateSignalStack signal_stack;
};

void FindThreadStack(ThreadState* thread) {
  const StackBounds stack = AskForThreadStack();
  INSTAR_CHECK(stack.high != 0)
      << "the system does not tell where this thread's stack lies";
  thread->stack_low = stack.low;
  thread->stack_high = stack.high;
}

// With a foreign exception, such as glibc's for the end of a thread, the C++
// runtime keeps in caughtExceptions where its own header would begin: the
// _Unwind_Exception stands at that header's end (Itanium C++ ABI: Exception
// Handling, 2.2.1, with libstdc++'s fields; x86-64).
_Unwind_Exception* ForeignExceptionBeingHandled() {
  constexpr std::size_t kHeaderBefore = 80;
  const auto* const state =
      reinterpret_cast<ExceptionState*>(abi::__cxa_get_globals());
  auto* const exception = reinterpret_cast<_Unwind_Exception*>(
      static_cast<char*>(state->caught_exceptions) + kHeaderBefore);
  // The function that decides where a forced unwinding ends.
  INSTAR_CHECK(exception->private_1 != 0)
      << "the C++ runtime keeps the end of a thread elsewhere than expected";
  return exception;
}

void DestroyCallable(ControlBlock* c) {
  if (c->destroy_callable == nullptr) return;
  std::exchange(c->destroy_callable, nullptr)(c->callable);
}

void FinishUnstarted(ControlBlock* c) {
  c->finished = true;
  DestroyCallable(c);
}

}  // namespace

StackMemory TakeStackOrDie(std::size_t size, absl::string_view name) {
  absl::StatusOr<StackMemory> stack = StackMemory::Take(size);
  INSTAR_CHECK(stack.ok()) << "no stack for continulet '" << name
                           << "': " << stack.status();
  return *std::move(stack);
}

void PrepareThread() {
  ThreadState* const thread = &thread_state;
  thread->exceptions =
      reinterpret_cast<ExceptionState*>(abi::__cxa_get_globals());
  thread->tid = gettid();
  FindThreadStack(thread);
  AdoptThreadFiber(&thread->fiber);
  DisownContinuletsAtThreadEnd();
  InstallStackOverflowHandler();
  static thread_local ThreadResources resources;
}

void FailSwitch(const ControlBlock* c, const char* done) {
  const char* reason = "it is running";
  std::string detail;
  if (c->finished) {
    reason = "it is finished";
  } else if (c->thread == &ended_thread) {
    reason = "it belongs to a thread that has ended";
  } else if (c->thread != nullptr && c->thread != &thread_state) {
    reason = "it belongs to another thread";
    detail = " (" + std::to_string(c->thread->tid) + ", this is " +
             std::to_string(gettid()) + ")";
  } else if (c->cancelling) {
    reason = "it is being cancelled";
  }
  INSTAR_FATAL() << "continulet '" << c->name_view() << "' cannot be " << done
                 << ": " << reason << detail;
  __builtin_unreachable();
}

void FailMovedFrom() {
  INSTAR_FATAL() << "a continulet was used after it had been moved from";
  __builtin_unreachable();
}

void FailSwitchInside(const ControlBlock* c) {
  INSTAR_FATAL() << "continulet '" << c->name_view()
                 << "' cannot be switched out of: it is not the one that runs "
                    "on this thread";
  __builtin_unreachable();
}

void ThrowArrived() {
  ThreadState* const thread = &thread_state;
  const Signal signal = std::exchange(thread->signal, Signal::kValue);
  if (signal == Signal::kCancel) throw ContinuletCancelled();
  if (signal == Signal::kThreadExit) {
    // Goes on with the unwinding, from here.
    _Unwind_Resume_or_Rethrow(
        static_cast<_Unwind_Exception*>(thread->transfer));
    std::terminate();  // it has not returned
  }
  std::rethrow_exception(std::move(*thread->exception));
}

void EnterWithException(ControlBlock* c, std::exception_ptr* exception) {
  INSTAR_CHECK(*exception != nullptr)
      << "continulet '" << c->name_view() << "': Throw() needs an exception";
  if (!c->started() && !c->finished) {
    FinishUnstarted(c);
    std::rethrow_exception(std::move(*exception));
  }
  RequireResumable(c, "thrown into");
  thread_state.signal = Signal::kException;
  thread_state.exception = exception;
  Enter(c);
}

void LeaveForGood(ControlBlock* c, Signal signal, void* passed) {
  // What the callable owns may switch to other continulets when it is
  // destroyed, so nothing may be on its way yet.
  DestroyCallable(c);
  ThreadState* const thread = c->thread;
  if (signal == Signal::kException) {
    thread->exception = static_cast<std::exception_ptr*>(passed);
  } else {
    thread->transfer = passed;
  }
  *c->link_to_this = c->next_started;
  if (c->next_started != nullptr) {
    c->next_started->link_to_this = c->link_to_this;
  }
  c->finished = true;
  thread->current = c->outer;
  thread->signal = signal;
  *thread->exceptions = c->exceptions;
  BeforeLeave(c, nullptr);
  SwitchMachineContext(&c->body, &c->switcher);
  __builtin_unreachable();  // it is not resumable by anyone
}

bool Cancel(ControlBlock* c) {
  if (c->finished) return true;
  if (!c->started()) {
    FinishUnstarted(c);
    return true;
  }
  RequireResumable(c, "cancelled");
  ExplainFailedCancellations();
  c->cancelling = true;
  int attempts = 0;
  while (!c->finished) {
    INSTAR_CHECK(attempts < kCancelAttempts)
        << "continulet '" << c->name_view() << "' swallowed its cancellation "
        << attempts << " times. A catch (...) must end with `throw;`";
    ++attempts;
    thread_state.signal = Signal::kCancel;
    Enter(c);
    if (thread_state.signal == Signal::kThreadExit) ThrowArrived();
    thread_state.signal = Signal::kValue;
  }
  return attempts == 1 && c->cancelled_cleanly;
}

void Release(ControlBlock* c) {
  if (!c->finished && !Cancel(c)) {
    std::fprintf(stderr,
                 "Instar: continulet '%.*s' resisted its cancellation: it was "
                 "swallowed, or replaced by another exception or a return. A "
                 "catch (...) must end with `throw;`\n",
                 static_cast<int>(c->name_length), c->name);
  }
  if (c->started()) DestroyFiber(&c->fiber);
  // The control block lies on the stack that it gives back.
  StackMemory stack = std::move(c->stack);
  c->~ControlBlock();
}

// The first C++ function on every continulet's stack.
extern "C" INSTAR_CATCHES_FORCED_UNWIND void instar_continulet_main(
    MachineContext* context) {
  auto* const c = reinterpret_cast<ControlBlock*>(context);
  AfterSwitch(&c->fiber);
  std::exception_ptr thrown;
  try {
    c->run(c);  // does not return: when the body does, it leaves for good
  } catch (const abi::__forced_unwind&) {
    // The end of this handler would have to rethrow it, and there is nobody on
    // this stack to take it. It is never reached: what this stack was handling
    // goes with it.
    LeaveForGood(c, Signal::kThreadExit, ForeignExceptionBeingHandled());
  } catch (const ContinuletCancelled&) {
    // Rethrown by someone else's doing, it is an exception like others.
    c->cancelled_cleanly = c->cancelling;
    if (!c->cancelling) thrown = std::current_exception();
  } catch (...) {
    thrown = std::current_exception();
  }
  if (c->cancelling) {
    thrown = nullptr;
    LeaveForGood(c, Signal::kResult, nullptr);
  }
  LeaveForGood(c, Signal::kException, &thrown);  // its receiver moves it out
}

}  // namespace continuation_internal

}  // namespace instar
