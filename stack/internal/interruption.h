// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How threads are interrupted by a signal and held. Internal to this package:
// stack/interrupted_thread.h and stack/interrupted_threads.h are made of it.
//
// Whoever interrupts posts a request for each thread, sends the signals, and
// waits for all answers at once. The handler records three registers (and
// copies the stack if asked to) and waits; it interprets nothing.
//
// States of a request (one word, with a number that grows with each use, so
// that a signal that arrives late finds that its request is over):
//
//   from       to         by
//   free       claimed    Post() (compare-exchange)
//   claimed    posted     Post()
//   posted     entered    the handler (compare-exchange)
//   posted     free       Cancel() (compare-exchange)
//   entered    captured   the handler, when the registers are written
//   captured   released   LetGo()
//   released   free       the handler, its last step
//
// Requests lie in chunks of which each is twice as large as the one before,
// mapped when they are first needed and never freed. Nothing here takes a lock
// that a stopped thread could own, and from the first request on nothing
// allocates but by mmap().
//
// The turn: threads are interrupted by one thread at a time, or two that stop
// each other would both wait in vain until their time is up, and everybody with
// them. Whoever waits for its turn can be stopped, who has it cannot, since
// nobody else may stop anyone.
//
// Memory ordering: the handler's release store of "captured" and its decrement
// of Answers::missing pair with AwaitAnswers()' acquire load of zero, or it
// could read registers that are not written; LetGo()'s release store of
// "released" pairs with the handler's acquire load, or the thread could change
// its stack under the last reads of a walk; Post()'s release store of "posted"
// pairs with the handler's compare-exchange: what is asked is that use's.

#ifndef INSTAR_STACK_INTERNAL_INTERRUPTION_H_
#define INSTAR_STACK_INTERNAL_INTERRUPTION_H_

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "stack/stack_snapshot.h"

namespace instar {
namespace stack_internal {

using TimePoint = std::chrono::steady_clock::time_point;

// The signal; it is chosen at the first call.
const absl::StatusOr<int>& ChosenSignal();
// Whether it may be sent: the handler is there, or was put back where the
// program had reset it; false if the program has one of its own. Before each
// time that threads are interrupted. Allocates nothing.
bool IsOurs(int signal);

// Waits for the turn; false if it did not come in time. Who has it may take it
// again, and returns it as often.
bool TakeTurn(TimePoint deadline);
void ReturnTurn();

// Of all requests that are waited for together. It lives until AwaitAnswers()
// has returned.
struct Answers {
  // Requests without an answer, and one more until all have been posted.
  std::atomic<std::uint32_t> missing{1};
};

// One use of a request.
struct RequestUse {
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  std::uint32_t index = kNone;
  std::uint32_t number = 0;
  std::uint32_t generation = 0;  // of the process: each fork() begins one
};

// False in a child of fork(), of what its parent held: it is held by nobody
// there, and neither let go of nor is its turn returned.
bool IsOfThisProcess(const RequestUse& use);
// None of a request; of a thread that is held by other means.
RequestUse OfThisProcess();

enum class Outcome {
  kPosted,
  kNoMemory,  // for requests
  kNoThread,  // it is not, or no longer, in this process
  kNotSent,   // the signal: see errno
};

// Maps memory for `count` requests at a time, as far as it is not there.
// Optional: Post() does it otherwise. False if there is none.
bool ReserveRequests(std::size_t count);

// Asks the thread to stop. `*scan` says where a free request is looked for, and
// is 0 for the first of several. The stack is copied to `room` unless that is
// null. With the turn.
Outcome Post(pid_t tid, int signal, char* room, std::size_t room_size,
             Answers* answers, TimePoint deadline, std::uint32_t* scan,
             RequestUse* use);

// Says that all have been posted.
void AllPosted(Answers* answers);
// True if all have answered, false at the deadline. Calls `look` now and then:
// who has ended is to be taken back there.
bool AwaitAnswers(Answers* answers, TimePoint deadline,
                  absl::FunctionRef<void()> look);
// Whether the thread has answered, or is about to.
bool IsAnswered(const RequestUse& use);
// After AllPosted(), when there is no more time: takes the request back. False
// if the thread has answered, or is about to.
bool Cancel(const RequestUse& use, Answers* answers);
// Waits for those who were about to answer: a matter of microseconds, so there
// is no limit. Afterwards every request that was not taken back is captured.
void AwaitRest(Answers* answers);

// What the handler has written, of a captured thread.
struct Capture {
  StackSnapshot snapshot;
  StackBounds copied;  // of the stack, to the room
  bool in_library_code = false;
};
const Capture& CaptureOf(const RequestUse& use);

// Lets a captured thread go on.
void LetGo(const RequestUse& use);

// Copies what is asked for, of a captured thread that did not know its stack.
StackBounds CopyStack(const StackSnapshot& snapshot, char* room,
                      std::size_t room_size);

}  // namespace stack_internal
}  // namespace instar

#endif  // INSTAR_STACK_INTERNAL_INTERRUPTION_H_
