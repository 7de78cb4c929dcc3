// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/explorer/explorer.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/linux/deadline.h"
#include "base/linux/tasks.h"
#include "base/status_macros.h"
#include "code/entry_interception.h"
#include "code/symbols/function.h"
#include "tools/explorer/explorer_flags.h"
#include "tools/explorer/internal/child_runs.h"
#include "tools/explorer/internal/explored_process.h"
#include "tools/explorer/internal/run_record.h"
#include "tools/explorer/internal/run_text.h"
#include "tools/explorer/internal/sample.h"
#include "updates/mechanisms/class_functions.h"

namespace instar {
namespace {

using explorer_internal::Answer;
using explorer_internal::BadEnd;
using explorer_internal::BadEndOf;
using explorer_internal::ChildRuns;
using explorer_internal::DifferenceOfPoints;
using explorer_internal::FinishedRun;
using explorer_internal::LinesOf;
using explorer_internal::ReadRecord;
using explorer_internal::RunOrder;
using explorer_internal::RunRecord;

// After which a run that could not say by itself that it hangs is killed.
constexpr std::chrono::seconds kGrace(5);

// One that has ended.
struct Run {
  FinishedRun end;
  RunRecord record;
  Lines output;
};

class Exploration {
 public:
  Exploration(const std::function<void()>& workload,
              const ExploredUpdate& update, const ExplorerOptions& options)
      : workload_(workload), update_(update), options_(options) {
    report_.update = update.name();
    has_own_judge_ = options_.judge != nullptr;
    if (!has_own_judge_) options_.judge = &OldThenNew;
    // Twice as much, and more, is waited for.
    options_.patience = std::min(options_.patience, kLongestLimit / 4);
    if (options_.limit == 0) options_.limit = explorer_flags.limit;
    if (options_.jobs == 0) options_.jobs = explorer_flags.jobs;
    if (options_.jobs == 0) {
      options_.jobs = static_cast<int>(std::thread::hardware_concurrency());
    }
  }

  ExplorerReport Explore() {
    report_.status = CheckProcess();
    if (report_.status.ok()) report_.status = RunWithAndWithout();
    if (report_.status.ok()) report_.status = RunAtPoints();
    return std::move(report_);
  }

 private:
  struct Target {
    std::string thread;
    std::size_t number;
  };
  // Its index is that of report_.tried.
  struct Unjudged {
    std::size_t index;
    Run run;
  };

  static absl::Status CheckProcess();
  absl::Status RunWithAndWithout();
  absl::Status CheckWithout(const Run& first, const Run& second);
  absl::Status TakeWith(const Run& first, const Run& second);
  void FindTargets(const RunRecord& record);
  absl::Status RunAtPoints();
  RunOrder Order() const;
  void Start(ChildRuns& runs, std::size_t index, const RunOrder& order);
  static Run Await(ChildRuns& runs);
  absl::Status Take(Run run);
  void JudgeWhatCanBe();
  void JudgeOne(const Unjudged& unjudged);
  absl::Status CheckApplied();
  void Tell(bool is_last);

  const std::function<void()>& workload_;
  const ExploredUpdate& update_;
  ExplorerOptions options_;
  bool has_own_judge_ = false;
  ExplorerReport report_;

  Lines without_update_, with_update_;
  bool is_with_update_known_ = false;
  std::vector<Target> targets_;
  // Of report_.tried, and what is known of each.
  std::vector<bool> has_ended_, is_applied_;
  std::size_t ended_ = 0;
  std::size_t ended_in_order_ = 0;
  // Those that cannot be judged before the earliest is known.
  std::vector<Unjudged> unjudged_;
  std::chrono::steady_clock::time_point told_ =
      std::chrono::steady_clock::now();
};

RunOrder Exploration::Order() const {
  RunOrder order;
  order.threads = options_.threads;
  order.patience = options_.patience;
  return order;
}

void Exploration::Start(ChildRuns& runs, std::size_t index,
                        const RunOrder& order) {
  runs.Start(index, [&](int record) {
    explorer_internal::RunExplored(order, workload_, update_, record);
  });
}

Run Exploration::Await(ChildRuns& runs) {
  Run run;
  run.end = runs.Await();
  run.record = ReadRecord(run.end.record);
  run.output = LinesOf(run.end.output);
  return run;
}

absl::Status Exploration::CheckProcess() {
  std::size_t threads = 0;
  VisitTasks([&](pid_t) { return ++threads > 0; });
  if (threads != 1) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the process has ", threads,
        " threads, of which its children would have one: explore before "
        "threads are started, and when those of other tests have ended"));
  }
  // What is read once, of names and debug information, is read before processes
  // are made.
  PreloadNames();
  PreloadInlinedCopies();
  PreloadClassFunctions();
  return EntryInterception::Preload();
}

absl::Status Exploration::RunWithAndWithout() {
  // Two runs without the update, and two with it.
  const std::size_t count = options_.applies_before ? 4 : 2;
  ChildRuns children(options_.jobs, options_.patience + kGrace);
  Run runs[4];
  std::size_t started = 0;
  for (std::size_t ended = 0; ended < count; ++ended) {
    while (started < count && children.HasRoom()) {
      RunOrder order = Order();
      if (started >= 2) order.when = RunOrder::When::kBeforeTheWorkload;
      Start(children, started++, order);
    }
    Run run = Await(children);
    if (!run.end.error.empty()) {
      return absl::ResourceExhaustedError(run.end.error);
    }
    runs[run.end.index] = std::move(run);
  }
  INSTAR_RETURN_IF_ERROR(CheckWithout(runs[0], runs[1]));
  if (options_.applies_before) {
    INSTAR_RETURN_IF_ERROR(TakeWith(runs[2], runs[3]));
  }
  FindTargets(runs[0].record);
  if (!targets_.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "the workload comes to no update point: let controlled threads do it "
      "(threads/controlled_thread.h), passive ones with calls of "
      "UpdatePoint(), or active ones, which enter functions of an "
      "updatable_cc_library");
}

absl::Status Exploration::CheckWithout(const Run& first, const Run& second) {
  for (const Run* const run : {&first, &second}) {
    if (!run->record.refusal.empty()) {
      return absl::FailedPreconditionError(run->record.refusal);
    }
    if (const auto bad = BadEndOf(run->end, run->record)) {
      return absl::FailedPreconditionError(
          absl::StrCat("the workload fails without the update; it ",
                       ToString(bad->outcome), ": ", bad->why,
                       run->end.errors.empty() ? "" : "\n", run->end.errors));
    }
  }
  constexpr char kBeginning[] =
      "the workload is not deterministic: two runs without the update ";
  if (const auto difference = DifferenceOfPoints(first.record, second.record)) {
    return absl::FailedPreconditionError(
        absl::StrCat(kBeginning, "differ. ", *difference));
  }
  const auto difference = FirstDifference(first.output, second.output);
  if (!has_own_judge_ && difference.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat(kBeginning, "say different things. ", *difference));
  }
  without_update_ = first.output;
  for (const Run* const run : {&first, &second}) {
    const absl::Status status = options_.judge(
        ExploredRun{run->output, without_update_, without_update_});
    if (status.ok()) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("the judge does not accept what the workload says without "
                     "the update: ",
                     status.message()));
  }
  return absl::OkStatus();
}

absl::Status Exploration::TakeWith(const Run& first, const Run& second) {
  const auto fall_back = [this](absl::string_view what,
                                absl::string_view reason) {
    report_.remarks.push_back(absl::StrCat(
        "What the new version says is taken from the earliest point; applied "
        "before the workload begins the update ",
        what, ": ", reason.substr(0, reason.find("; "))));
    return absl::OkStatus();
  };
  for (const Run* const run : {&first, &second}) {
    if (const auto bad = BadEndOf(run->end, run->record)) {
      return fall_back(ToString(bad->outcome), bad->why);
    }
    if (run->record.answer != Answer::kApplied) {
      return fall_back(
          run->record.answer == Answer::kNotYet ? "waits" : "is refused",
          run->record.reason);
    }
  }
  const auto difference = FirstDifference(first.output, second.output);
  if (!has_own_judge_ && difference.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("with the update the workload is not deterministic: two "
                     "runs in which it is applied before the workload begins "
                     "say different things. ",
                     *difference));
  }
  with_update_ = first.output;
  is_with_update_known_ = true;
  return absl::OkStatus();
}

void Exploration::FindTargets(const RunRecord& record) {
  std::vector<Target> all;
  for (const auto& [thread, points] : record.threads) {
    for (std::size_t i = 0; i < points.size(); ++i) {
      all.push_back({thread, i + 1});
    }
  }
  report_.points = all.size();
  for (const std::size_t i :
       explorer_internal::SampleEvenly(all.size(), options_.limit)) {
    targets_.push_back(std::move(all[i]));
  }
}

absl::Status Exploration::RunAtPoints() {
  for (const Target& target : targets_) {
    ExploredPoint& point = report_.tried.emplace_back();
    point.thread = target.thread;
    point.number = target.number;
  }
  const std::size_t count = targets_.size();
  has_ended_.resize(count);
  is_applied_.resize(count);
  ChildRuns runs(options_.jobs, options_.patience + kGrace);
  for (std::size_t started = 0; ended_ < count;) {
    while (started < count && runs.HasRoom()) {
      RunOrder order = Order();
      order.when = RunOrder::When::kAtPoint;
      order.thread = targets_[started].thread;
      order.number = targets_[started].number;
      Start(runs, started++, order);
    }
    absl::Status status = Take(Await(runs));
    if (!status.ok()) {
      report_.tried.clear();
      return status;
    }
    JudgeWhatCanBe();
    Tell(ended_ == count);
  }
  return CheckApplied();
}

absl::Status Exploration::Take(Run run) {
  const std::size_t index = run.end.index;
  const RunRecord& record = run.record;
  if (!run.end.error.empty()) {
    return absl::ResourceExhaustedError(run.end.error);
  }
  if (!record.refusal.empty()) return absl::InternalError(record.refusal);
  ExploredPoint& point = report_.tried[index];
  const std::optional<BadEnd> bad = BadEndOf(run.end, record);
  if (!record.point.has_value() && !bad.has_value()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the workload is not deterministic: thread '", point.thread,
        "' came to its update point ", point.number,
        " in two runs, and not in the one in which the update was to be "
        "applied there"));
  }
  if (record.point.has_value()) {
    point.where = explorer_internal::TextOf(*record.point);
    point.stack = explorer_internal::StackOf(record.stack);
  }
  has_ended_[index] = true;
  ++ended_;
  if (bad.has_value()) {
    point.outcome = bad->outcome;
    point.why = bad->why;
    point.output = std::move(run.output);
    point.errors = explorer_internal::EndOf(LinesOf(run.end.errors));
  } else if (record.answer == Answer::kNotYet) {
    point.outcome = PointOutcome::kWaits;
    point.why = record.reason;
  } else {
    is_applied_[index] = record.answer == Answer::kApplied;
    unjudged_.push_back({index, std::move(run)});
  }
  return absl::OkStatus();
}

void Exploration::JudgeWhatCanBe() {
  while (!is_with_update_known_ && ended_in_order_ < has_ended_.size() &&
         has_ended_[ended_in_order_]) {
    if (is_applied_[ended_in_order_]) {
      const auto earliest = std::find_if(
          unjudged_.begin(), unjudged_.end(), [&](const Unjudged& unjudged) {
            return unjudged.index == ended_in_order_;
          });
      with_update_ = earliest->run.output;
      is_with_update_known_ = true;
    }
    ++ended_in_order_;
  }
  if (!is_with_update_known_ && ended_ < has_ended_.size()) return;
  for (const Unjudged& unjudged : unjudged_) JudgeOne(unjudged);
  unjudged_.clear();
}

void Exploration::JudgeOne(const Unjudged& unjudged) {
  const RunRecord& record = unjudged.run.record;
  ExploredPoint& point = report_.tried[unjudged.index];
  ExploredRun run{unjudged.run.output, without_update_, with_update_};
  const bool is_complete = record.answer == Answer::kApplied;
  // Of update functions some have been done.
  run.is_applied = is_complete || record.went_on;
  run.lines_before = record.lines_before;
  const absl::Status status = options_.judge(run);
  if (status.ok() && is_complete) {
    point.stack.clear();
    return;
  }
  if (status.ok()) {
    point.outcome =
        record.went_on ? PointOutcome::kWaits : PointOutcome::kRefused;
    point.why = record.reason;
    return;
  }
  point.outcome = PointOutcome::kWrong;
  point.why = std::string(status.message());
  if (!is_complete) {
    absl::StrAppend(
        &point.why, "; the update was not applied",
        record.went_on ? " completely: " : ": ", record.reason,
        record.failure.empty() ? "" : "; in the end: ", record.failure);
  }
  point.output = std::move(run.output);
  point.errors = explorer_internal::EndOf(LinesOf(unjudged.run.end.errors));
}

absl::Status Exploration::CheckApplied() {
  const bool is_applied = std::find(is_applied_.begin(), is_applied_.end(),
                                    true) != is_applied_.end();
  if (is_applied) {
    if (without_update_ == with_update_) {
      report_.remarks.push_back(
          "What the workload says is the same with the update and without it: "
          "that it has taken effect does not show");
    }
    return absl::OkStatus();
  }
  if (report_.failures() > 0) return absl::OkStatus();  // which says enough
  std::map<std::string, std::size_t> reasons;
  for (const ExploredPoint& point : report_.tried) ++reasons[point.why];
  const auto most = std::max_element(
      reasons.begin(), reasons.end(),
      [](const auto& a, const auto& b) { return a.second < b.second; });
  return absl::FailedPreconditionError(absl::StrCat(
      "the update is never applied: it waits at ",
      report_.Count(PointOutcome::kWaits), " of the ", report_.tried.size(),
      " points that were tried, and is refused at ",
      report_.Count(PointOutcome::kRefused), "; at ", most->second, ": ",
      most->first));
}

void Exploration::Tell(bool is_last) {
  if (options_.progress != nullptr) return options_.progress(report_);
  const auto now = std::chrono::steady_clock::now();
  if (!is_last && now - told_ < std::chrono::seconds(1)) return;
  told_ = now;
  std::fprintf(stderr, "explorer: '%s' was tried at %zu of %zu points\n",
               report_.update.c_str(), ended_, report_.tried.size());
}

// Of UpdatePlan or ThreadUpdates.
template <typename Described>
std::function<absl::StatusOr<std::unique_ptr<Update>>()> Maker(
    const std::string& name, std::function<absl::Status(Described&)> describe) {
  return [name, describe = std::move(
                    describe)]() -> absl::StatusOr<std::unique_ptr<Update>> {
    Described described(name);
    INSTAR_RETURN_IF_ERROR(describe(described));
    return MakeUpdate(std::move(described));
  };
}

}  // namespace

ExploredUpdate::ExploredUpdate(
    std::string name, std::function<absl::Status(UpdatePlan&)> describe)
    : name_(std::move(name)),
      make_(Maker<UpdatePlan>(name_, std::move(describe))),
      is_one_moment_(true) {}

ExploredUpdate::ExploredUpdate(
    std::string name, std::function<absl::Status(ThreadUpdates&)> describe)
    : name_(std::move(name)),
      make_(Maker<ThreadUpdates>(name_, std::move(describe))),
      is_one_moment_(false) {}

ExploredUpdate::ExploredUpdate(const UpdateModuleEntry& module)
    : ExploredUpdate(module.plan != nullptr
                         ? ExploredUpdate(module.name, module.plan)
                         : ExploredUpdate(module.name, module.thread_updates)) {
}

ExplorerReport Explore(const std::function<void()>& workload,
                       const ExploredUpdate& update,
                       const ExplorerOptions& options) {
  return Exploration(workload, update, options).Explore();
}

}  // namespace instar
