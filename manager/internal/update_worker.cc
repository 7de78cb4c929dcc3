// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The driver's worker: which job comes next, and what becomes of it then.

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "code/symbols/function.h"
#include "heap/internal/version_change.h"
#include "manager/internal/update_driver.h"
#include "manager/internal/update_job.h"
#include "manager/module/module_loader.h"
#include "updates/mechanisms/class_functions.h"

namespace instar {
namespace manager_internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// How often conditions of updates are asked again.
constexpr milliseconds kAskAgain(5);
// How often objects that old code has made are looked for.
constexpr milliseconds kLateBirths(100);

std::string Text(nanoseconds duration) {
  return absl::FormatDuration(
      absl::Trunc(absl::FromChrono(duration), absl::Microseconds(1)));
}

std::string Describe(const UpdateReport& report) {
  const HoldTimes& times = report.hold_times;
  return absl::StrCat(
      times.threads, " threads held",
      times.by_signal > 0 ? absl::StrCat(" (", times.by_signal, " by signal)")
                          : "",
      ": median ", Text(report.hold_times.median), ", at most ",
      Text(report.hold_times.maximum), "; took ", Text(report.elapsed), ", ",
      report.attempts, report.attempts == 1 ? " attempt" : " attempts");
}

}  // namespace

void UpdateDriver::Work() {
  {
    std::lock_guard<std::mutex> lock(lock_);
    worker_tid_ = static_cast<pid_t>(syscall(SYS_gettid));
  }
  WorkUntilEnd();
  std::lock_guard<std::mutex> lock(lock_);
  has_worker_ended_ = true;
  stopped_.notify_all();
}

void UpdateDriver::WorkUntilEnd() {
  // What updates need to know of the program, before the first one comes. For
  // want of memory it is read when it is needed, where that is an error.
  try {
    remarks_.CheckBuild();
    FunctionMap::Preload();
    PreloadNames();
    PreloadInlinedCopies();
    PreloadClassFunctions();
  } catch (const std::bad_alloc&) {
  }
  std::unique_lock<std::mutex> lock(lock_);
  const absl::Cleanup at_the_end = [&] { LetGoOfRemains(lock); };
  while (true) {
    LetGoOfRemains(lock);
    // The lock was free: the end may have come, and its notification is over.
    // From here to the waits below it stays taken, but for jobs, which ask.
    if (is_ending_) return;
    bool has_finished = false;
    for (auto at = jobs_.begin(); at != jobs_.end() && !has_finished;) {
      working_ = *at;
      working_->waits_for.clear();
      lock.unlock();
      absl::StatusOr<Step> step = WorkOn(*working_);
      lock.lock();
      if (step.ok() && *step == Step::kWaits &&
          (working_->is_cancelled || working_->is_answered)) {
        step = absl::CancelledError("the update was cancelled");
      }
      has_finished = !step.ok() || *step == Step::kFinished;
      if (has_finished) {
        lock.unlock();
        LetGo(*working_, step.status());
        lock.lock();
      }
      const std::shared_ptr<Job> job = std::move(working_);
      working_ = nullptr;
      // It was left in the list by all others, unless the driver ends.
      at = std::find(jobs_.begin(), jobs_.end(), job);
      if (at != jobs_.end()) {
        at = has_finished ? jobs_.erase(at) : std::next(at);
      }
      watched_.notify_one();
      if (has_finished) {
        // It is not pending any more when its answer comes.
        lock.unlock();
        Finish(job, step.status());
        // The answer did not wait for this.
        if (step.ok() && job->kind == Job::Kind::kLoad) {
          applied_.back()->update->Settle();
        }
        lock.lock();
      }
      if (is_ending_) return;
    }
    // Others may have waited for it.
    if (has_finished || !remains_.empty()) continue;
    if (!jobs_.empty()) {
      changed_.wait_for(lock, kAskAgain);
    } else if (applied_.empty()) {
      changed_.wait(lock);
    } else if (changed_.wait_for(lock, kLateBirths) ==
               std::cv_status::timeout) {
      is_converting_ = true;
      lock.unlock();
      ConvertLateBirths();
      lock.lock();
      is_converting_ = false;
    }
  }
}

void UpdateDriver::LetGo(Job& job, const absl::Status& status) {
  EndChange(job,
            !status.ok()                   ? std::string(status.message())
            : job.kind == Job::Kind::kUndo ? "the update has been undone"
                                           : "the update has taken effect",
            status, "a destructor of what it was made of");
  std::unique_ptr<LoadedModule> module;  // goes after `update`
  std::shared_ptr<Update> update;
  std::lock_guard<std::mutex> lock(lock_);
  module = std::move(job.module);
  update = std::move(job.update);
}

void UpdateDriver::LetGoOfRemains(std::unique_lock<std::mutex>& lock) {
  while (!remains_.empty()) {
    working_ = std::move(remains_.front());
    remains_.pop_front();
    // It has been answered, and is about to end all the same.
    working_->outcome = "it was given up";
    working_->over = Clock::now();
    lock.unlock();
    LetGo(*working_, absl::CancelledError("it was given up"));
    lock.lock();
    working_ = nullptr;
    watched_.notify_one();
  }
}

void UpdateDriver::ConvertLateBirths() {
  if (!HaveLateBirths()) return;
  // Not yet is tried again.
  const Attempt attempt = late_births_.TryConvert();
  if (attempt.is_failed()) {
    journal_->Add("failed", "",
                  absl::StrCat("to convert an object that old code has made: ",
                               attempt.reason()));
  }
}

void UpdateDriver::Finish(const std::shared_ptr<Job>& finished,
                          const absl::Status& status) {
  Job& job = *finished;
  bool was_answered = false;
  bool has_worker = false;
  {
    std::lock_guard<std::mutex> lock(lock_);
    was_answered = std::exchange(job.is_answered, true);
    // A module that was refused is gone when the answer comes. One that waited
    // goes when the worker comes to it: its destructors may not return.
    has_worker = !has_worker_ended_;
    if (has_worker && job.has_remains()) remains_.push_back(finished);
  }
  changed_.notify_one();
  if (!has_worker) LetGo(job, status);
  if (job.kind == Job::Kind::kCheck) {
    if (was_answered) return;
    if (status.ok()) {
      job.checked(std::move(job.check_report));
    } else {
      job.checked(status);
    }
    return;
  }
  if (job.kind == Job::Kind::kUnload) {
    RecordUnload(job, status);
    if (was_answered) return;
    if (status.ok()) {
      job.unloaded(std::move(job.unload_report));
    } else {
      job.unloaded(status);
    }
    return;
  }
  std::string detail(status.message());
  if (status.ok()) {
    detail = Describe(job.report);
    if (!job.kept_path.empty()) {
      absl::StrAppend(&detail, "; debuggers find its module as ",
                      job.kept_path);
    }
  }
  Record(job, job.name.empty() ? job.path : job.name, status, detail);
  if (was_answered) return;
  if (status.ok()) {
    job.done(std::move(job.report));
  } else {
    job.done(status);
  }
}

void UpdateDriver::RecordUnload(const Job& job, const absl::Status& status) {
  if (!status.ok()) {
    journal_->Add("failed", job.name,
                  absl::StrCat("to be unloaded: ", status.message()));
    return;
  }
  if (job.unload_report.unloaded > 0) {
    journal_->Add(
        "unloaded", job.name,
        absl::StrCat(job.unload_report.unloaded,
                     job.unload_report.unloaded == 1 ? " module" : " modules"));
  }
  for (const KeptReport& kept : job.unload_report.kept) {
    journal_->Add("kept", job.name,
                  absl::StrCat(kept.module, ", because ", kept.because));
  }
}

void UpdateDriver::Record(const Job& job, const std::string& name,
                          const absl::Status& status,
                          absl::string_view detail) {
  const bool undoes = job.kind == Job::Kind::kUndo;
  const char* const event = status.ok() ? (undoes ? "undone" : "applied")
                            : absl::IsCancelled(status) ? "cancelled"
                                                        : "failed";
  const std::string text =
      absl::StrCat(undoes && !status.ok() ? "to be undone: " : "", detail);
  journal_->Add(event, name, text);
  const std::string by =
      job.by.process == 0
          ? absl::StrCat(" user=", geteuid())
          : absl::StrCat(" user=", job.by.user, " client=", job.by.process);
  system_log_.Write(
      status.ok() ? SystemLog::Severity::kNotice
                  : SystemLog::Severity::kWarning,
      absl::StrCat(
          "event=", event, LogField("program", program_),
          LogField("update", name), by,
          job.path.empty() ? "" : LogField("module", job.path),
          job.digest.empty() ? "" : absl::StrCat(" sha256=", job.digest),
          LogField("detail", text)));
}

}  // namespace manager_internal
}  // namespace instar
