// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What continulet.h needs to be inlined: the part of a continulet that does not
// depend on the types of its values, and the switches between continulets.
// Nothing here is for users.
//
// Why inlined: a `ret` that runs after a switch, for a `call` that ran on the
// other stack, is mispredicted and costs as much as the whole switch. So all
// that lies between the user's Switch() and the `jmp` is always_inline.

#ifndef INSTAR_CONTINUATION_INTERNAL_CONTROL_BLOCK_H_
#define INSTAR_CONTINUATION_INTERNAL_CONTROL_BLOCK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/base/optimization.h"
#include "absl/strings/string_view.h"
#include "continuation/internal/machine_context.h"
#include "continuation/internal/sanitizers.h"
#include "continuation/paused_context.h"
#include "continuation/stack_memory.h"

namespace instar {
namespace continuation_internal {

struct ControlBlock;

// What the C++ runtime keeps per thread of exceptions that are being handled,
// behind __cxa_get_globals() (Itanium C++ ABI: Exception Handling, 2.2.2). It
// belongs to a computation, so it is exchanged at each switch.
struct ExceptionState {
  void* caught_exceptions = nullptr;
  std::uintptr_t uncaught_exceptions = 0;  // an unsigned int and padding
};

// What arrives with a switch besides a value.
enum class Signal : std::uint8_t {
  kValue,      // `transfer` points to a value, which its sender destroys
  kResult,     // as kValue, but the body has ended: the receiver destroys it
  kException,  // `exception` is to be thrown
  kCancel,     // the body is to be unwound
  // The thread ends, by pthread_exit() or pthread_cancel(): `transfer` is the
  // _Unwind_Exception with which its stacks are unwound.
  kThreadExit,
};

// The calling thread's part. Zero until the thread starts its first continulet.
struct ThreadState {
  ControlBlock* current;       // the innermost running continulet, or null
  void* transfer;              // what the last switch on this thread passed
  ExceptionState* exceptions;  // the runtime's, of this thread
  Signal signal;
  std::exception_ptr* exception;  // set exactly while signal is kException
  ControlBlock* started;     // head of the list of continulets on this thread
  std::uintptr_t stack_low;  // the thread's own stack
  std::uintptr_t stack_high;
  SanitizerFiber fiber;  // stands for the thread's own stack
  int tid;
};

extern __thread ThreadState thread_state ABSL_ATTRIBUTE_INITIAL_EXEC;

// Lies at the high end of the continulet's stack.
struct alignas(64) ControlBlock {
  MachineContext body;      // where the body goes on; valid while it is paused
  MachineContext switcher;  // where whoever switched in goes on; while running
  // The thread that may switch to the body, null if none may (it is new,
  // running or finished). Written by the continulet's thread alone. Another
  // thread that reads it, in a check for a caller's error or while the owner is
  // held, finds either null or a thread that is not itself: relaxed order is
  // enough.
  std::atomic<ThreadState*> resumable_by;
  ExceptionState exceptions;   // of the body while paused, of the switcher else
  ControlBlock* outer;         // the continulet on whose stack the switcher is
  ThreadState* thread;         // set at the start, never changed
  ControlBlock* next_started;  // list of the thread, see ThreadState::started
  ControlBlock** link_to_this;
  // Runs the body and does not return normally; throws what the body throws.
  void (*run)(ControlBlock*);
  void (*destroy_callable)(void* callable);  // null once it was called
  void* callable;
  StackMemory stack;
  SanitizerFiber fiber;
  bool finished;
  bool cancelling;
  bool cancelled_cleanly;  // the cancellation reached the stack's base
  std::uint8_t name_length;
  char name[39];

  absl::string_view name_view() const { return {name, name_length}; }
  bool started() const { return thread != nullptr; }
};

static_assert(offsetof(ControlBlock, body) == 0);

// A stack for the continulet `name`; fatal if the system gives none.
StackMemory TakeStackOrDie(std::size_t size, absl::string_view name);

// Puts the control block of a new continulet at the end of its stack.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline ControlBlock* NewControlBlock(
    StackMemory stack, absl::string_view name) {
  ControlBlock* const c =
      reinterpret_cast<ControlBlock*>(stack.high() - sizeof(ControlBlock));
  c->resumable_by.store(nullptr, std::memory_order_relaxed);
  c->exceptions = ExceptionState();
  c->outer = nullptr;
  c->thread = nullptr;
  c->fiber = SanitizerFiber();
  c->destroy_callable = nullptr;
  c->finished = false;
  c->cancelling = false;
  c->cancelled_cleanly = false;
  c->name_length = static_cast<std::uint8_t>(
      name.size() < sizeof(c->name) ? name.size() : sizeof(c->name));
  __builtin_memcpy(c->name, name.data(), c->name_length);
  new (&c->stack) StackMemory(std::move(stack));
  return c;
}

// Slow paths; see the .cc file.

// Prepares the thread for its first continulet.
void PrepareThread();
// Fatal: says why `c` cannot be "switched to" (or what else `done` says) now.
[[noreturn]] void FailSwitch(const ControlBlock* c, const char* done);
[[noreturn]] void FailMovedFrom();
// Fatal: somebody else's code would pause the body of `c`.
[[noreturn]] void FailSwitchInside(const ControlBlock* c);
// Throws what arrived with kException, kCancel or kThreadExit. Cold as a whole,
// so that it is not split: cancellation_failure.cc recognizes its frame by its
// start.
[[noreturn]] ABSL_ATTRIBUTE_COLD void ThrowArrived();
// Switches to `c` and has it throw. Returns as Enter() does. If `c` is new it
// finishes, and `*exception` is thrown here.
void EnterWithException(ControlBlock* c, std::exception_ptr* exception);
// Leaves `c`, which has ended, for its switcher. `passed` points to the value
// or the std::exception_ptr that goes with `signal`.
[[noreturn]] void LeaveForGood(ControlBlock* c, Signal signal, void* passed);
// See Continulet::Cancel().
bool Cancel(ControlBlock* c);
// Cancels `c` if need be and gives its stack back.
void Release(ControlBlock* c);
PausedContext BodyContext(const ControlBlock& c);
// The threads whose continulets VisitPausedComputations() visits.
void AddThread(ThreadState* thread);
void RemoveThread(ThreadState* thread);

// Almost always there is nothing to exchange. Then nothing is stored either: a
// load that follows so soon, of another width, would wait for the store to
// leave the processor's store buffer, which costs more than the rest of the
// switch.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void Exchange(ExceptionState* a,
                                                  ExceptionState* b) {
  if (ABSL_PREDICT_TRUE(
          (reinterpret_cast<std::uintptr_t>(a->caught_exceptions) |
           reinterpret_cast<std::uintptr_t>(b->caught_exceptions) |
           a->uncaught_exceptions | b->uncaught_exceptions) == 0)) {
    return;
  }
  std::swap(*a, *b);
}

// Makes a new continulet resumable by the calling thread, which becomes its
// own.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void Start(ControlBlock* c) {
  ThreadState* const thread = &thread_state;
  if (ABSL_PREDICT_FALSE(thread->exceptions == nullptr)) PrepareThread();
  // The callable lies below the control block, the stack begins below both.
  PrepareMachineContext(&c->body,
                        reinterpret_cast<std::uintptr_t>(c->callable) & ~63ul);
  CreateFiber(&c->fiber);
  c->next_started = thread->started;
  c->link_to_this = &thread->started;
  if (thread->started != nullptr) {
    thread->started->link_to_this = &c->next_started;
  }
  thread->started = c;
  c->thread = thread;
  c->resumable_by.store(thread, std::memory_order_relaxed);
}

ABSL_ATTRIBUTE_ALWAYS_INLINE inline void RequireResumable(ControlBlock* c,
                                                          const char* done) {
  if (ABSL_PREDICT_FALSE(c->resumable_by.load(std::memory_order_relaxed) !=
                         &thread_state)) {
    if (c->started() || c->finished) FailSwitch(c, done);
    Start(c);
  }
}

ABSL_ATTRIBUTE_ALWAYS_INLINE inline void RequireCurrent(ControlBlock* c) {
  if (ABSL_PREDICT_FALSE(thread_state.current != c)) FailSwitchInside(c);
}

// From the switcher into the body. Returns when the body, or one to which it
// switched directly, switches out.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void Enter(ControlBlock* c) {
  ThreadState* const thread = &thread_state;
  c->resumable_by.store(nullptr, std::memory_order_relaxed);
  SanitizerFiber* const mine =
      thread->current == nullptr ? &thread->fiber : &thread->current->fiber;
  c->outer = thread->current;
  thread->current = c;
  Exchange(thread->exceptions, &c->exceptions);
  BeforeSwitch(mine, &c->fiber, c->stack.low(), c->stack.high());
  SwitchMachineContext(&c->switcher, &c->body);
  AfterSwitch(mine);
}

// Tells the sanitizers that `c` is left for its switcher.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void BeforeLeave(ControlBlock* c,
                                                     SanitizerFiber* mine) {
  if (c->outer == nullptr) {
    BeforeSwitch(mine, &c->thread->fiber, c->thread->stack_low,
                 c->thread->stack_high);
  } else {
    BeforeSwitch(mine, &c->outer->fiber, c->outer->stack.low(),
                 c->outer->stack.high());
  }
}

// From the body out to whoever switched in. Returns when it is switched to.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void Leave(ControlBlock* c) {
  ThreadState* const thread = &thread_state;
  thread->current = c->outer;
  Exchange(thread->exceptions, &c->exceptions);
  c->resumable_by.store(thread, std::memory_order_relaxed);
  BeforeLeave(c, &c->fiber);
  SwitchMachineContext(&c->body, &c->switcher);
  AfterSwitch(&c->fiber);
}

// From the body of `c` into that of `to`, which takes over c's switcher.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline void Pass(ControlBlock* c,
                                              ControlBlock* to) {
  ThreadState* const thread = c->thread;
  to->switcher = c->switcher;
  to->outer = c->outer;
  thread->current = to;
  // c's state moves from the runtime to c, to's to the runtime, the switcher's
  // from c to `to`.
  const ExceptionState switchers = c->exceptions;
  c->exceptions = *thread->exceptions;
  *thread->exceptions = to->exceptions;
  to->exceptions = switchers;
  to->resumable_by.store(nullptr, std::memory_order_relaxed);
  c->resumable_by.store(thread, std::memory_order_relaxed);
  BeforeSwitch(&c->fiber, &to->fiber, to->stack.low(), to->stack.high());
  SwitchMachineContext(&c->body, &to->body);
  AfterSwitch(&c->fiber);
}

}  // namespace continuation_internal
}  // namespace instar

#endif  // INSTAR_CONTINUATION_INTERNAL_CONTROL_BLOCK_H_
