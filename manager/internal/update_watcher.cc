// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The driver's watcher: what waits for too long, and what does not return.

#include <algorithm>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "manager/internal/update_driver.h"
#include "manager/internal/update_job.h"
#include "updates/internal/lock_owner.h"
#include "updates/internal/where_is.h"

namespace instar {
namespace manager_internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using updates_internal::Describe;
using updates_internal::FindLockOwner;
using updates_internal::LockOwner;
using updates_internal::WhereIs;

// How often an update that has been cancelled is reminded of it, and whether
// one has come to an end whose time is up.
constexpr milliseconds kRemindAgain(1);
constexpr milliseconds kAskAgain(5);
// How often redirected functions are looked at.
constexpr milliseconds kLookAgain(1000);

std::string Text(nanoseconds duration) {
  return absl::FormatDuration(
      absl::Trunc(absl::FromChrono(duration), absl::Microseconds(1)));
}

}  // namespace

UpdateDriver::Stuck UpdateDriver::FindStuck(const Job& job,
                                            Clock::time_point now) const {
  const absl::StatusCode given_up = job.is_cancelled
                                        ? absl::StatusCode::kCancelled
                                        : absl::StatusCode::kDeadlineExceeded;
  if (job.is_changing && job.outcome.empty()) {
    const UpdateProgress progress = job.update->Progress();
    if (progress.phase != UpdatePhase::kBroken || progress.blockers.empty()) {
      return {};
    }
    return {absl::Status(
                progress.is_unchanged ? given_up : absl::StatusCode::kDataLoss,
                absl::StrCat(progress.blockers.front().reason,
                             "; no other update begins, and its module stays "
                             "loaded, until that has returned")),
            ""};
  }
  Clock::time_point until =
      job.is_cancelled ? std::min(job.cancelled, job.until) : job.until;
  if (!job.outcome.empty()) until = std::max(until, job.over);
  if (now - kOverdue < until) return {};
  absl::StatusCode code = given_up;
  if (!job.outcome.empty()) {
    code = job.error.ok() ? absl::StatusCode::kDataLoss : job.error.code();
  }
  return {
      absl::Status(
          code,
          absl::StrCat(job.is_cancelled ? "it was cancelled" : "its time is up",
                       ", and ", job.doing.load(std::memory_order_relaxed),
                       " still runs")),
      job.outcome.empty() ? "nothing was changed" : job.outcome};
}

void UpdateDriver::AnswerStuck(Job& job, const std::string& name, Stuck stuck) {
  absl::Status status = std::move(stuck.status);
  if (!stuck.outcome.empty()) {
    // The worker may have the locks that this needs: nobody waits for it here.
    const LockOwner owner = FindLockOwner(worker_tid_);
    const std::vector<std::string> functions = WhereIs(worker_tid_);
    status = absl::Status(
        status.code(),
        absl::StrCat(
            status.message(), ", in thread ", worker_tid_,
            functions.empty()
                ? ""
                : absl::StrCat(", in ", absl::StrJoin(functions, " <- ")),
            Describe(owner), "; ", stuck.outcome,
            ", and no other update begins until that has returned"));
    std::lock_guard<std::mutex> lock(lock_);
    job.waits_for = absl::StrCat("code to return: ", status.message());
  }
  if (job.kind == Job::Kind::kCheck) {
    job.checked(status);
    return;
  }
  if (job.kind == Job::Kind::kUnload) {
    job.unloaded(status);
    return;
  }
  Record(job, name, status, status.message());
  job.done(status);
}

void UpdateDriver::Watch() {
  Clock::time_point look = Clock::time_point::min();
  std::unique_lock<std::mutex> lock(lock_);
  while (!is_ending_ || (working_ != nullptr && !IsStuck())) {
    const Clock::time_point now = Clock::now();
    Clock::time_point next = Clock::time_point::max();
    if (!applied_.empty() && !is_ending_) {
      if (look <= now) {
        look = now + kLookAgain;
        lock.unlock();
        remarks_.CheckEntries();
        lock.lock();
        continue;
      }
      next = look;
    }
    std::list<std::shared_ptr<Job>> late;
    std::shared_ptr<Job> stuck;
    Stuck unknown;
    for (auto job = jobs_.begin(); job != jobs_.end();) {
      const auto following = std::next(job);
      if (*job != working_) {
        if ((*job)->until <= now) {
          late.splice(late.end(), jobs_, job);
        } else {
          next = std::min(next, (*job)->until);
        }
      }
      job = following;
    }
    if (working_ != nullptr && working_->is_cancelled && !IsStuck()) {
      if (working_->update != nullptr) working_->update->Cancel();
      next = now + kRemindAgain;
    }
    if (working_ != nullptr && !working_->is_answered) {
      if (working_->is_cancelled || working_->until <= now) {
        unknown = FindStuck(*working_, now);
        next = std::min(next, now + kAskAgain);
      } else {
        next = std::min(next, working_->until);
      }
      if (!unknown.status.ok()) {
        stuck = working_;
        stuck->is_answered = true;
      }
    }
    if (stuck != nullptr) {
      const std::string name = stuck->name.empty() ? stuck->path : stuck->name;
      lock.unlock();
      AnswerStuck(*stuck, name, std::move(unknown));
      lock.lock();
      stopped_.notify_all();
    } else if (!late.empty()) {
      lock.unlock();
      for (const auto& job : late) {
        Finish(job,
               absl::DeadlineExceededError(absl::StrCat(
                   "it waited ", Text(job->timeout), " for ", job->waits_for)));
      }
      lock.lock();
    } else if (next == Clock::time_point::max()) {
      watched_.wait(lock);
    } else {
      watched_.wait_until(lock, next);
    }
  }
}

}  // namespace manager_internal
}  // namespace instar
