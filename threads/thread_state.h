// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The states of a controlled thread, and the moves between them.
//
//   state              | the thread ...                          | stopped
//   -------------------+-----------------------------------------+--------
//   new                | has not begun its function              | yes
//   running            | runs its function                       | no
//   at update point    | looks for what is to be done there      | no
//   in update function | runs one, its own computation is paused | no
//   blocked            | waits in a blocking region              | yes
//   held               | waits for the end of a rendezvous       | yes
//   rebooting          | unwinds its stack                       | no
//   ended              | is gone                                 | yes
//
//   from \ to          | new run point update block held reboot ended
//   -------------------+---------------------------------------------
//   new                |      x                     x
//   running            |          x            x                 x
//   at update point    |      x          x          x    x
//   in update function |          x            x
//   blocked            |      x          x          x    x
//   held               |      x   x      x               x
//   rebooting          |      x   x            x
//   ended              |
//
// Only the thread itself moves. A thread that a rendezvous has interrupted in a
// system call stays where it is: it is "running", and does not run. A thread
// also blocks while it waits for another update: for its turn to hold a
// rendezvous, or at the entry of a function that is being redefined
// (updates/quiescence/forced_quiescence.h). Within an update function, it
// blocks only so. A thread is rebooting until its stack is unwound to the base,
// also while a destructor blocks or a catch (...) delays it.

#ifndef INSTAR_THREADS_THREAD_STATE_H_
#define INSTAR_THREADS_THREAD_STATE_H_

namespace instar {

// Named from the point of view of whoever updates: an active thread starts its
// update by itself, a passive one where its code says so. (PyMoult
// (HotSWUP'13), section 2.1.)
enum class ThreadKind { kActive, kPassive };

// What may be done to a thread where it has come to a point; each what those
// before it allow, too. Points that the compiler has put into loops
// (docs/loop_update_points.md) differ, all others allow a reboot as far as the
// frames of the stack do.
enum class PointAllows {
  kHold,    // it may keep variables in registers that it has not stored
  kMemory,  // memory is as its source says; nothing can be thrown
  kReboot,
};

enum class ThreadState {
  kNew,
  kRunning,
  kAtUpdatePoint,
  kInUpdateFunction,
  kBlocked,
  kHeld,
  kRebooting,
  kEnded,
};

inline constexpr int kThreadStates = 8;

inline const char* ToString(ThreadKind kind) {
  return kind == ThreadKind::kActive ? "active" : "passive";
}

inline const char* ToString(ThreadState state) {
  constexpr const char* kNames[kThreadStates] = {
      "new",     "running", "at update point", "in update function",
      "blocked", "held",    "rebooting",       "ended"};
  return kNames[static_cast<int>(state)];
}

// Whether a thread moves from one state to the other.
constexpr bool IsMove(ThreadState from, ThreadState to) {
  constexpr bool kMoves[kThreadStates][kThreadStates] = {
      // new run point update block held reboot ended
      {0, 1, 0, 0, 0, 1, 0, 0},  // new
      {0, 0, 1, 0, 1, 0, 0, 1},  // running
      {0, 1, 0, 1, 0, 1, 1, 0},  // at update point
      {0, 0, 1, 0, 1, 0, 0, 0},  // in update function
      {0, 1, 0, 1, 0, 1, 1, 0},  // blocked
      {0, 1, 1, 1, 0, 0, 1, 0},  // held
      {0, 1, 1, 0, 1, 0, 0, 0},  // rebooting
      {0, 0, 0, 0, 0, 0, 0, 0},  // ended
  };
  return kMoves[static_cast<int>(from)][static_cast<int>(to)];
}

// Whether a thread in this state runs nothing of the program.
constexpr bool IsStopped(ThreadState state) {
  return state == ThreadState::kNew || state == ThreadState::kBlocked ||
         state == ThreadState::kHeld || state == ThreadState::kEnded;
}

}  // namespace instar

#endif  // INSTAR_THREADS_THREAD_STATE_H_
