// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Child processes, some at a time, and what they leave. Internal to this
// package.
//
//   ChildRuns runs(/*jobs=*/4, std::chrono::seconds(60));
//   for (int i = 0; i < n || runs.running() > 0;) {
//     while (i < n && runs.HasRoom()) {
//       runs.Start(i, [&](int record) { ...; _exit(0); });
//       ++i;
//     }
//     FinishedRun run = runs.Await();
//   }
//
// Each child is the leader of a process group, which is killed when it has
// ended; and it is killed when its parent ends. Its standard output and error
// are files in memory, its standard input is empty.
//
// Threads: one, and there is no other in the process.

#ifndef INSTAR_TOOLS_EXPLORER_INTERNAL_CHILD_RUNS_H_
#define INSTAR_TOOLS_EXPLORER_INTERNAL_CHILD_RUNS_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace instar {
namespace explorer_internal {

struct FinishedRun {
  std::size_t index = 0;
  int status = 0;           // as waitpid() has it
  bool was_killed = false;  // it took too long
  std::string record, output, errors;
  // Not empty: there was no process to be had.
  std::string error;
};

class ChildRuns {
 public:
  // One that takes longer than `limit` is killed.
  ChildRuns(int jobs, std::chrono::nanoseconds limit);
  ~ChildRuns();
  ChildRuns(const ChildRuns&) = delete;
  ChildRuns& operator=(const ChildRuns&) = delete;

  std::size_t running() const { return children_.size(); }
  bool HasRoom() const { return running() < jobs_; }

  // In the child `main` is called with the file of its record, and does not
  // return.
  void Start(std::size_t index, const std::function<void(int)>& main);
  // The next that ends, of those that are running.
  FinishedRun Await();

 private:
  using Clock = std::chrono::steady_clock;
  struct Child {
    std::size_t index;
    pid_t pid;  // -1: there is none
    int record, output, errors;
    Clock::time_point until;
    bool was_killed;
    std::string error;
  };

  static bool HasEnded(const Child& child);
  static FinishedRun Reap(const Child& child);

  const std::size_t jobs_;
  const std::chrono::nanoseconds limit_;
  std::vector<Child> children_;
};

}  // namespace explorer_internal
}  // namespace instar

#endif  // INSTAR_TOOLS_EXPLORER_INTERNAL_CHILD_RUNS_H_
