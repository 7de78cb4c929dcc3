// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What goes on in the process of one run. Internal to this package.
//
// The workload runs on the first thread. Each thread that comes to an update
// point calls the watch (threads/update_point_watch.h), which counts. At the
// point at which the update is to be applied the thread stays, and another
// thread, the driver, applies it:
//
//   state    | entered by                 | the thread at the point
//   ---------+----------------------------+------------------------
//   counting | the beginning              |
//   asked    | the thread, at the point   | stays
//   answered | the driver                 | goes on
//
// What a plan waits for does not change while the thread stays, as far as it is
// that thread. If it names the thread again and again, or goes on to wait for
// others, the driver is told to give up; then the process ends.
//
// Of update functions of each thread some may have been done at that point, so
// the thread goes on, and the others are tried at its later points: it stays at
// each until that has been done.
//
// A third thread says where all others are when the time is up.

#ifndef INSTAR_TOOLS_EXPLORER_INTERNAL_EXPLORED_PROCESS_H_
#define INSTAR_TOOLS_EXPLORER_INTERNAL_EXPLORED_PROCESS_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "tools/explorer/explorer.h"

namespace instar {
namespace explorer_internal {

struct RunOrder {
  enum class When {
    kNever,  // points are recorded
    kBeforeTheWorkload,
    kAtPoint,
  };
  When when = When::kNever;
  // Of kAtPoint.
  std::string thread;
  std::size_t number = 0;  // from 1
  // Whose points count; empty: of all controlled threads.
  std::vector<std::string> threads;
  std::chrono::nanoseconds patience{};
};

// In a process that has no other thread, and has not run the workload before.
[[noreturn]] void RunExplored(const RunOrder& order,
                              const std::function<void()>& workload,
                              const ExploredUpdate& update, int record);

}  // namespace explorer_internal
}  // namespace instar

#endif  // INSTAR_TOOLS_EXPLORER_INTERNAL_EXPLORED_PROCESS_H_
