// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whoever looks at every update point of a process, as the explorer of updates
// does (tools/explorer/explorer.h).
//
//   class Counting : public UpdatePointWatch {
//     bool Stays(const WatchedPoint& point) override {
//       ++count_;
//       return false;
//     }
//     ...
//   };
//   WatchUpdatePoints(new Counting);
//   ... threads that begin from now on are watched ...
//
// A process that is not watched pays nothing for it: update points ask for it
// where the thread has something to do in any case.
//
// Points are calls of UpdatePoint(), and of an active thread the entries of
// updatable functions that an EntryInterception (code/entry_interception.h)
// covers: whoever wants these keeps one. Where update points do nothing
// (threads/update_point.h), nobody is told. Blocking regions are no points, nor
// are those that the compiler has put into loops.
//
// Lifetime: a watch is for the rest of the process, and there is one.

#ifndef INSTAR_THREADS_UPDATE_POINT_WATCH_H_
#define INSTAR_THREADS_UPDATE_POINT_WATCH_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "stack/stack_snapshot.h"
#include "threads/thread_state.h"

namespace instar {

// The update functions (threads/update_request.h) that are set for a thread and
// are not finished.
enum class PointRequests {
  kNone,     // there are none
  kUntried,  // one that takes this point has not been tried since it came here
  kTried,    // those that take this point have been, in vain
};

// Where the calling thread has come to. Valid during the call.
struct WatchedPoint {
  const std::string& thread;  // its name
  ThreadKind kind;
  absl::string_view name;   // of the point; empty if it has none
  std::uintptr_t function;  // that is about to begin; 0: it is no entry
  const StackSnapshot& stack;
  PointRequests requests;
};

class UpdatePointWatch {
 public:
  virtual ~UpdatePointWatch() = default;

  // Called by each thread that has come to a point, after it has done there
  // what it was asked for. True: it stays there, and does what it is asked for
  // by now, and this is called again. It may wait, but must not wait for what
  // needs this thread at an update point. Throws nothing.
  virtual bool Stays(const WatchedPoint& point) = 0;
};

// Threads that begin from now on are watched. Fatal if there is a watch.
void WatchUpdatePoints(UpdatePointWatch* watch);

namespace threads_internal {

// Release in WatchUpdatePoints(), paired with the acquire loads: what a watch
// uses is there when it is called.
extern std::atomic<UpdatePointWatch*> update_point_watch;

}  // namespace threads_internal
}  // namespace instar

#endif  // INSTAR_THREADS_UPDATE_POINT_WATCH_H_
