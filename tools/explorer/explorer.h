// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Tries an update at every update point of a workload, for tests of updates.
//
//   void Workload() {                     // says what it does on standard output
//     StartPassiveThread("till", [] {
//       for (int item = 1; item <= 9; ++item) Sell(item);
//     });
//   }
//
//   TEST(InEurosTest, IsRightWhereverItIsApplied) {
//     const ExplorerReport report = Explore(&Workload, {"in_euros", &InEuros});
//     EXPECT_TRUE(report.ok()) << report;
//   }
//
// That a function is on no stack is not enough for an update to be right: what
// began before it goes on after it (Hayden et al., "Evaluating dynamic software
// update safety using systematic testing"). So the workload runs once for each
// update point k, and the update is applied when its thread has come there; the
// thread stays at the point meanwhile. Points are calls of UpdatePoint() in
// controlled threads, and in active ones the entries of updatable functions,
// too. Each run is a child process of its own, several at a time.
//
// Right is, of what a run writes to standard output, line by line, the
// beginning of what the workload writes without the update, and the end of what
// it writes with it; or what a judge of the author's own says. Where the update
// is refused, or fails, the output must be that without it. At a point where a
// plan has to wait, the run ends: it goes on as that of the next point. Update
// functions of each thread (updates/thread_updates.h) are tried there, and what
// has to wait at later points, while the program runs in a mixture.
//
// What the workload writes with the update is what it writes if that is applied
// before the workload begins; if that cannot be (it reboots a thread that is
// not there yet), from the earliest point at which it can be applied, whose
// beginning alone is judged then.
//
// What the workload must be: deterministic, and alone. It runs without the
// update first, twice, and with it, twice: if the output differs, or what
// points a thread comes to without it, nothing is explored and the report names
// the first difference. Threads that
// are explored have names of their own; others are wherever they happen to be.
// It starts its threads and waits for them; its standard input is empty. State
// that it begins with is made before Explore(): each run has it as it was.
// Assertions of gtest in a run are not seen: what it says is.
//
// A test of it is a program that can be updated (updatable_cc_test), linked
// with //tools/explorer:main, which reads the flags
//   --limit=N   tries at most N points, evenly spread, and says the share
//   --jobs=N    that many runs at a time; by default as many as there are cores
// Processes that are not explored pay nothing.
//
// Threads: the process has the calling one only, since it forks (an error of
// the report otherwise). docs/explorer.md says more.

#ifndef INSTAR_TOOLS_EXPLORER_EXPLORER_H_
#define INSTAR_TOOLS_EXPLORER_EXPLORER_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/explorer/explorer_report.h"
#include "tools/explorer/judge.h"
#include "updates/thread_updates.h"
#include "updates/update.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace instar {

// What is tried: its function is called in each run anew.
class ExploredUpdate {
 public:
  ExploredUpdate(std::string name,
                 std::function<absl::Status(UpdatePlan&)> describe);
  ExploredUpdate(std::string name,
                 std::function<absl::Status(ThreadUpdates&)> describe);
  // Of an update module (updates/update_module.h).
  explicit ExploredUpdate(const UpdateModuleEntry& module);

  const std::string& name() const { return name_; }
  absl::StatusOr<std::unique_ptr<Update>> Make() const { return make_(); }
  // Of plans: all of it takes effect at once.
  bool is_one_moment() const { return is_one_moment_; }

 private:
  std::string name_;
  std::function<absl::StatusOr<std::unique_ptr<Update>>()> make_;
  bool is_one_moment_;
};

extern "C" const UpdateModuleEntry instar_update_module;

// The update module whose sources are linked into the test, as they are.
inline ExploredUpdate LinkedUpdateModule() {
  return ExploredUpdate(instar_update_module);
}

struct ExplorerOptions {
  // Of these threads; empty: of all controlled threads.
  std::vector<std::string> threads;
  // Whether a run is right; null: OldThenNew(). With a judge, the runs without
  // the update need not write the same.
  Judge judge;
  // Whether the update is applied before the workload begins, to see what it
  // writes then. Not if its objects must be there first to be converted.
  bool applies_before = true;
  // At most so many points; 0: as --limit says, or all.
  std::size_t limit = 0;
  // So many runs at a time; 0: as --jobs says, or one for each core.
  int jobs = 0;
  // A run that takes longer hangs.
  std::chrono::nanoseconds patience = std::chrono::seconds(60);
  // Called after each run; null: tells it on standard error, now and then.
  std::function<void(const ExplorerReport&)> progress;
};

// Whatever happens is in the report, which is ok() if each run was right. Takes
// about the time of the workload for each point, shared by the jobs.
ExplorerReport Explore(const std::function<void()>& workload,
                       const ExploredUpdate& update,
                       const ExplorerOptions& options = {});

// Takes the explorer's flags off the command line; false, with a message on
// standard error, if one of them is wrong.
bool ReadExplorerFlags(int* argc, char** argv);

}  // namespace instar

#endif  // INSTAR_TOOLS_EXPLORER_EXPLORER_H_
