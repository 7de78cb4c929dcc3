// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What others ask of the driver, and its life.

#include "manager/internal/update_driver.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/linux/own_thread.h"
#include "base/status_macros.h"
#include "manager/internal/update_job.h"

namespace instar {
namespace manager_internal {

using std::chrono::nanoseconds;

namespace {

// It may read all debug information of a large program. One that takes longer
// is in code that does not return.
constexpr std::chrono::minutes kLongestCheck(10);

// How long the end waits for an object that is just being converted, and how
// often it looks.
constexpr std::chrono::seconds kLateBirthLimit(10);
constexpr std::chrono::milliseconds kLookAgain(100);

}  // namespace

UpdateDriver::UpdateDriver(std::shared_ptr<Journal> journal,
                           std::function<std::vector<ThreadRef>()> threads,
                           SystemLog system_log, std::string program)
    : journal_(std::move(journal)),
      threads_(std::move(threads)),
      system_log_(std::move(system_log)),
      program_(std::move(program)),
      late_births_({LateBirthsOptions().limit, HeldThreads()}) {}

std::shared_ptr<UpdateDriver> UpdateDriver::Make(
    std::shared_ptr<Journal> journal,
    std::function<std::vector<ThreadRef>()> threads, SystemLog system_log,
    std::string program) {
  return std::shared_ptr<UpdateDriver>(
      new UpdateDriver(std::move(journal), std::move(threads),
                       std::move(system_log), std::move(program)));
}

UpdateDriver::~UpdateDriver() {
  INSTAR_CHECK(!worker_.joinable() && !watcher_.joinable())
      << "Stop() comes last";
}

void UpdateDriver::Adopt(UpdateDriver& copy_of_parents) {
  // Its owner may have been a thread that the child does not have.
  const bool is_whole =
      copy_of_parents.lock_.try_lock() && copy_of_parents.working_ == nullptr;
  if (!is_whole) {
    remarks_.Note(
        "this process was forked while an update was being worked on: what "
        "that changed is in effect here, and cannot be taken back; restart the "
        "process to be rid of it");
    return;
  }
  std::lock_guard<std::mutex> lock(lock_);
  applied_ = std::move(copy_of_parents.applied_);
  for (const auto& applied : applied_) applied->started.clear();
}

absl::Status UpdateDriver::Start() {
  // Before the program changes its user, say. What it finds is told when an
  // update comes.
  remarks_.Patching().IgnoreError();
  INSTAR_ASSIGN_OR_RETURN(
      watcher_, StartOwnThread("instar-watcher",
                               [self = shared_from_this()] { self->Watch(); }));
  has_worker_ended_ = false;  // nobody else reads it yet
  absl::StatusOr<std::thread> worker = StartOwnThread(
      "instar-worker", [self = shared_from_this()] { self->Work(); });
  if (!worker.ok()) {
    has_worker_ended_ = true;
    Stop();
    return worker.status();
  }
  worker_ = *std::move(worker);
  return absl::OkStatus();
}

void UpdateDriver::Stop() {
  std::list<std::shared_ptr<Job>> waiting;
  {
    std::lock_guard<std::mutex> lock(lock_);
    is_ending_ = true;
    if (working_ != nullptr) working_->Cancel();
    waiting.swap(jobs_);
    waiting.remove(working_);
    // While the worker is there.
    for (const auto& job : waiting) {
      if (job->has_remains()) remains_.push_back(job);
    }
  }
  changed_.notify_one();
  watched_.notify_one();
  for (const auto& job : waiting) {
    Finish(job, absl::CancelledError("the program ends"));
  }
  if (worker_.joinable()) {
    std::unique_lock<std::mutex> lock(lock_);
    // What old code has made has no job, and is given up by itself.
    const Clock::time_point until = Clock::now() + kLateBirthLimit;
    while (!stopped_.wait_for(lock, kLookAgain, [&] {
      return has_worker_ended_ || IsStuck() ||
             (is_converting_ && Clock::now() >= until);
    })) {
    }
    if (has_worker_ended_) {
      lock.unlock();
      worker_.join();
      lock.lock();
      LetGoOfRemains(lock);  // what came since
    } else {
      worker_.detach();
    }
  }
  watched_.notify_one();
  if (watcher_.joinable()) watcher_.join();
}

bool UpdateDriver::IsStuck() const {
  if (working_ == nullptr || !working_->is_answered) return false;
  return working_->outcome.empty() || Clock::now() - working_->over >= kOverdue;
}

// --- What others ask for.

void UpdateDriver::Add(std::shared_ptr<Job> job) {
  {
    std::lock_guard<std::mutex> lock(lock_);
    if (!is_ending_) {
      jobs_.push_back(std::move(job));
      job = nullptr;
    }
  }
  if (job != nullptr) {
    Finish(job, absl::CancelledError("the program ends"));
    return;
  }
  changed_.notify_one();
  watched_.notify_one();
}

void UpdateDriver::Load(ModuleSource module, nanoseconds timeout,
                        const Requester& by, Done<UpdateReport> done) {
  auto job = std::make_shared<Job>(Job::Kind::kLoad, timeout);
  job->path = std::move(module.path);
  job->sent_file = std::move(module.file);
  job->by = by;
  job->done = std::move(done);
  Add(std::move(job));
}

void UpdateDriver::Apply(std::unique_ptr<Update> update, nanoseconds timeout,
                         Done<UpdateReport> done) {
  auto job = std::make_shared<Job>(Job::Kind::kLoad, timeout);
  job->name = update->name();
  job->update = std::move(update);
  job->done = std::move(done);
  Add(std::move(job));
}

void UpdateDriver::Undo(std::string update, nanoseconds timeout,
                        const Requester& by, Done<UpdateReport> done) {
  auto job = std::make_shared<Job>(Job::Kind::kUndo, timeout);
  job->name = std::move(update);
  job->by = by;
  job->done = std::move(done);
  Add(std::move(job));
}

void UpdateDriver::Unload(std::string update, nanoseconds longest_hold,
                          const Requester& by, Done<UnloadReport> done) {
  auto job = std::make_shared<Job>(Job::Kind::kUnload, kLongestCheck);
  job->name = std::move(update);
  job->unload_options.longest_hold = longest_hold;
  job->by = by;
  job->unloaded = std::move(done);
  Add(std::move(job));
}

void UpdateDriver::Check(ModuleSource module, bool without_stacks,
                         Done<CheckReport> done) {
  auto job = std::make_shared<Job>(Job::Kind::kCheck, kLongestCheck);
  job->path = std::move(module.path);
  job->sent_file = std::move(module.file);
  job->without_stacks = without_stacks;
  job->checked = std::move(done);
  Add(std::move(job));
}

absl::StatusOr<std::vector<std::string>> UpdateDriver::Cancel(
    const std::string& update) {
  std::vector<std::string> names;
  std::list<std::shared_ptr<Job>> given_up;
  {
    std::lock_guard<std::mutex> lock(lock_);
    for (auto job = jobs_.begin(); job != jobs_.end();) {
      const auto next = std::next(job);
      if ((*job)->is_update() && (update.empty() || (*job)->name == update ||
                                  (*job)->path == update)) {
        names.push_back((*job)->name.empty() ? (*job)->path : (*job)->name);
        (*job)->Cancel();
        if (*job != working_) given_up.splice(given_up.end(), jobs_, job);
      }
      job = next;
    }
  }
  watched_.notify_one();
  for (const auto& job : given_up) {
    Finish(job, absl::CancelledError("the update was cancelled"));
  }
  if (!names.empty()) return names;
  return absl::NotFoundError(
      update.empty() ? std::string("no update is pending")
                     : absl::StrCat("no update '", update, "' is pending"));
}

std::vector<std::string> UpdateDriver::Remarks() const {
  std::vector<std::string> all = remarks_.All();
  // Without the lock: a thread's stack is looked at.
  if (std::string running = late_births_.running(); !running.empty()) {
    all.push_back(absl::StrCat(
        "an object that old code has made was to be converted: ", running,
        "; the threads have been released, and no update begins until it has "
        "returned"));
  }
  std::lock_guard<std::mutex> lock(lock_);
  for (const auto& applied : applied_) {
    for (const std::string& remark : applied->remarks) {
      all.push_back(absl::StrCat("when update '", applied->report.update,
                                 "' was applied: ", remark));
    }
  }
  return all;
}

std::vector<AppliedReport> UpdateDriver::Applied() const {
  std::lock_guard<std::mutex> lock(lock_);
  std::vector<AppliedReport> reports;
  for (const auto& applied : applied_) {
    AppliedReport report = applied->report;
    if (report.can_undo.ok() && applied != applied_.back()) {
      report.can_undo = absl::FailedPreconditionError(absl::StrCat(
          "update '", applied_.back()->report.update, "' came after it"));
    }
    report.is_converting = applied->update->Progress().is_converting;
    reports.push_back(std::move(report));
  }
  return reports;
}

std::vector<PendingReport> UpdateDriver::Pending() const {
  std::lock_guard<std::mutex> lock(lock_);
  std::vector<PendingReport> reports;
  for (const auto& job : jobs_) {
    if (!job->is_update()) continue;
    PendingReport& report = reports.emplace_back();
    report.kind =
        job->kind == Job::Kind::kUndo ? PendingKind::kUndo : PendingKind::kLoad;
    report.update = job->name;
    report.module = job->path;
    report.waits_for = job->waits_for;
    report.timeout = job->timeout;
    report.elapsed = Clock::now() - job->begin;
    if (job->update != nullptr) report.progress = job->update->Progress();
  }
  return reports;
}

std::vector<ThreadRef> UpdateDriver::StartedThreads() const {
  std::lock_guard<std::mutex> lock(lock_);
  std::vector<ThreadRef> threads;
  for (const auto& applied : applied_) {
    threads.insert(threads.end(), applied->started.begin(),
                   applied->started.end());
  }
  return threads;
}

}  // namespace manager_internal
}  // namespace instar
