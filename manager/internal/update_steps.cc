// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the driver's worker does of a job.

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/sha256.h"
#include "base/status_macros.h"
#include "manager/internal/update_driver.h"
#include "manager/internal/update_job.h"
#include "manager/module/file_descriptor.h"
#include "manager/module/module_file.h"
#include "manager/module/module_loader.h"
#include "manager/module/module_unloader.h"
#include "manager/module/module_update.h"
#include "manager/module/own_program.h"

namespace instar {
namespace manager_internal {
namespace {

// Some part of a time slice, and what is enough to begin another.
constexpr std::chrono::milliseconds kLongPreparation(1);
constexpr std::chrono::microseconds kShortSleep(100);

}  // namespace

absl::StatusOr<UpdateDriver::Step> UpdateDriver::WorkOn(Job& job) {
  if (!std::exchange(job.has_begun, true)) {
    job.report.queued = Clock::now() - job.begin;
  }
  switch (job.kind) {
    case Job::Kind::kLoad:
      return WorkOnLoad(job);
    case Job::Kind::kUndo:
      return WorkOnUndo(job);
    case Job::Kind::kUnload: {
      job.doing = "a look at the program's memory";
      INSTAR_ASSIGN_OR_RETURN(job.unload_report,
                              UnloadModules(job.name, job.unload_options));
      return Step::kFinished;
    }
    case Job::Kind::kCheck:
      break;
  }
  job.doing = "code of its module";
  INSTAR_ASSIGN_OR_RETURN(job.check_report, CheckNow(job));
  return Step::kFinished;
}

absl::StatusOr<ModuleFile> UpdateDriver::ReadModule(const Job& job) {
  // Another one for each: a check may be followed by another attempt. If the
  // program has closed the file, its path is what is left.
  const int sent = job.sent_file == nullptr ? -1 : job.sent_file->number();
  FileDescriptor file(sent < 0 ? -1 : fcntl(sent, F_DUPFD_CLOEXEC, 0));
  if (file.number() < 0) return ReadModuleFile(job.path, OwnBuildId());
  return ReadOpenModuleFile(job.path, std::move(file), OwnBuildId());
}

UpdateDriver::Step UpdateDriver::Wait(Job& job, std::string waits_for) {
  std::lock_guard<std::mutex> lock(lock_);
  job.waits_for = std::move(waits_for);
  return Step::kWaits;
}

absl::Status UpdateDriver::FindConflict(const std::string& update) const {
  for (const auto& applied : applied_) {
    if (applied->report.update != update) continue;
    return absl::AlreadyExistsError(absl::StrCat(
        "an update '", update,
        "' is applied already; undo it first, or give this one another name"));
  }
  return absl::OkStatus();
}

std::string UpdateDriver::FindMissing(const ModuleFile& file) const {
  for (const RequiredModule& required : file.required_modules()) {
    const auto has_it = [&](const std::unique_ptr<AppliedUpdate>& applied) {
      return applied->report.update == required.update_name;
    };
    if (std::none_of(applied_.begin(), applied_.end(), has_it)) {
      return required.update_name;
    }
  }
  return "";
}

std::function<std::vector<ThreadRef>()> UpdateDriver::HeldThreads() const {
  if (threads_ == nullptr) return nullptr;
  return [this] {
    std::vector<ThreadRef> threads = threads_();
    for (ThreadRef& thread : StartedThreads()) {
      threads.push_back(std::move(thread));
    }
    return threads;
  };
}

ApplyOptions UpdateDriver::OptionsFor(Clock::time_point until) const {
  ApplyOptions options;
  options.timeout = std::max(until - Clock::now(), Clock::duration::zero());
  options.threads = HeldThreads();
  return options;
}

absl::Status UpdateDriver::BeginChange(Job& job) {
  std::lock_guard<std::mutex> lock(lock_);
  // It is not asked for any more; whoever asked has been told so.
  if (job.is_answered) return absl::CancelledError("it had been given up");
  job.is_changing = true;
  return absl::OkStatus();
}

absl::StatusOr<UpdateDriver::Step> UpdateDriver::WorkOnLoad(Job& job) {
  const Clock::time_point begin = Clock::now();
  if (job.update == nullptr && !job.file.has_value()) {
    INSTAR_ASSIGN_OR_RETURN(job.file, ReadModule(job));
    // Now, so that a line is written at once when it has taken effect.
    if (system_log_.IsThere()) {
      job.digest =
          Sha256OfFile(job.file->shared_file()->number()).value_or("unknown");
    }
    std::lock_guard<std::mutex> lock(lock_);
    job.name = job.file->update_name();
  }
  INSTAR_RETURN_IF_ERROR(FindConflict(job.name));
  INSTAR_RETURN_IF_ERROR(remarks_.CheckEffect());
  if (job.update == nullptr) {
    const std::string missing = FindMissing(*job.file);
    if (!missing.empty()) {
      return Wait(job,
                  absl::StrCat("update '", missing, "', which it requires"));
    }
    job.doing = "what its module does when it is loaded";
    LoadOptions how;
    if (keep_modules_at_ != nullptr &&
        job.file->kind() == ModuleKind::kGenerated) {
      how.path_begin = keep_modules_at_();
    }
    INSTAR_ASSIGN_OR_RETURN(LoadedModule module, LoadModule(*job.file, how));
    job.kept_path = module.kept_path();
    job.module = std::make_unique<LoadedModule>(std::move(module));
    job.file.reset();  // and its descriptor
    job.doing = "the function of its module that makes the update";
    INSTAR_ASSIGN_OR_RETURN(std::shared_ptr<Update> update,
                            MakeUpdate(*job.module));
    std::lock_guard<std::mutex> lock(lock_);
    job.update = std::move(update);
  }
  const Clock::time_point loaded = Clock::now();
  job.report.loading += loaded - begin;
  // Before anyone waits for anything: errors here are final.
  job.doing = "its preparation";
  if (job.update->Progress().phase == UpdatePhase::kNew) {
    INSTAR_RETURN_IF_ERROR(job.update->Prepare().status());
  }
  job.doing = "what says whether its requirements are met";
  const Attempt requirements = job.update->Requirements();
  if (requirements.is_failed()) return requirements.status();
  const Clock::time_point prepared = Clock::now();
  job.report.preparing += prepared - loaded;
  if (requirements.is_not_yet()) return Wait(job, requirements.reason());
  if (job.module != nullptr) {
    if (!job.module->is_kept() && !job.module->why_loaded_again().empty()) {
      remarks_.ModuleTakesMemoryAgain(job.name, job.module->why_loaded_again());
    }
    job.module->KeepLoaded();
  }
  INSTAR_RETURN_IF_ERROR(BeginChange(job));
  ApplyOptions options = OptionsFor(job.until);
  if (job.module != nullptr) job.report.remarks = job.module->remarks();
  options.remarks = &job.report.remarks;
  options.settle_later = true;
  // Whoever has used up its time slice loses the processor to others, and would
  // with all threads held: after all that, on a busy machine, it is likely to.
  // Whoever has slept begins another.
  if (prepared - begin > kLongPreparation) {
    std::this_thread::sleep_for(kShortSleep);
  }
  INSTAR_RETURN_IF_ERROR(job.update->Apply(options));
  const Clock::time_point applied_at = Clock::now();
  const UpdateProgress progress = job.update->Progress();
  job.report.applying = applied_at - prepared;
  job.report.elapsed = applied_at - job.begin;
  job.report.attempts = progress.attempts;
  job.report.objects_converted = progress.objects_converted;
  job.report.hold_times = job.update->hold_times();
  job.report.update = job.name;

  auto applied = std::make_unique<AppliedUpdate>();
  applied->module = std::move(job.module);
  applied->digest = job.digest;
  applied->report.update = job.name;
  applied->report.module = job.path;
  applied->report.applied = std::chrono::system_clock::now();
  applied->report.hold_times = job.report.hold_times;
  applied->report.elapsed = job.report.elapsed;
  applied->update = job.update;
  applied->remarks = job.report.remarks;
  EndChange(job, "the update has taken effect", absl::OkStatus(),
            "what says whether it can be undone");
  TakeNote(*applied);
  std::lock_guard<std::mutex> lock(lock_);
  applied_.push_back(std::move(applied));
  return Step::kFinished;
}

void UpdateDriver::EndChange(Job& job, std::string outcome,
                             const absl::Status& error, const char* doing) {
  job.doing = doing;
  std::lock_guard<std::mutex> lock(lock_);
  job.outcome = std::move(outcome);
  job.error = error;
  job.over = Clock::now();
}

void UpdateDriver::TakeNote(AppliedUpdate& applied) {
  absl::Status can_undo = applied.update->CanUndo();
  std::vector<std::string> lost;
  if (can_undo.ok()) lost = applied.update->LostByUndo();
  std::vector<ThreadRef> started = applied.update->StartedThreads();
  std::lock_guard<std::mutex> lock(lock_);
  applied.report.can_undo = std::move(can_undo);
  applied.report.lost_by_undo = std::move(lost);
  applied.started = std::move(started);
}

absl::StatusOr<UpdateDriver::Step> UpdateDriver::WorkOnUndo(Job& job) {
  if (applied_.empty()) {
    return absl::FailedPreconditionError("no update is applied");
  }
  AppliedUpdate& latest = *applied_.back();
  if (!job.name.empty() && job.name != latest.report.update) {
    return absl::FailedPreconditionError(
        absl::StrCat("update '", job.name,
                     "' is not the latest one, and updates are taken back from "
                     "the latest on; that is '",
                     latest.report.update, "'"));
  }
  {
    std::lock_guard<std::mutex> lock(lock_);
    job.name = latest.report.update;
    job.update = latest.update;
    job.path = latest.report.module;
    job.digest = latest.digest;
  }
  job.doing = "what says whether it can be undone";
  absl::Status status = latest.update->CanUndo();
  if (status.ok()) status = BeginChange(job);
  const Clock::time_point begin = Clock::now();
  if (status.ok()) status = latest.update->Undo(OptionsFor(job.until));
  if (!status.ok()) {
    EndChange(job, std::string(status.message()), status,
              "what says whether it can be undone");
    TakeNote(latest);
    return status;
  }
  const Clock::time_point undone = Clock::now();
  job.report.applying = undone - begin;
  job.report.elapsed = undone - job.begin;
  job.report.attempts = latest.update->Progress().attempts;
  job.report.hold_times = latest.update->hold_times();
  job.report.update = job.name;
  std::lock_guard<std::mutex> lock(lock_);
  // Together with the update, which the job has as well.
  job.module = std::move(applied_.back()->module);
  applied_.pop_back();
  return Step::kFinished;
}

absl::StatusOr<CheckReport> UpdateDriver::CheckNow(const Job& job) {
  INSTAR_ASSIGN_OR_RETURN(const ModuleFile file, ReadModule(job));
  CheckReport report;
  report.update = file.update_name();
  report.kind = file.kind();
  report.code_size = file.code_size();
  report.loaded_size = file.loaded_size();
  for (const RequiredModule& required : file.required_modules()) {
    report.required.push_back(required.update_name);
  }
  std::vector<std::string> obstacles;
  const absl::Status conflict = FindConflict(report.update);
  if (!conflict.ok()) obstacles.emplace_back(conflict.message());
  const std::string missing = FindMissing(file);
  if (!missing.empty()) {
    report.forecast.obstacles = std::move(obstacles);
    report.forecast.obstacles.push_back(
        absl::StrCat("update '", missing,
                     "', which it requires, is not applied; load it first"));
    report.forecast.remarks.emplace_back(
        "what it would do is known when that has been applied");
    return report;
  }
  INSTAR_ASSIGN_OR_RETURN(LoadedModule module, LoadModule(file));
  INSTAR_ASSIGN_OR_RETURN(std::unique_ptr<Update> update, MakeUpdate(module));
  INSTAR_ASSIGN_OR_RETURN(report.forecast, update->Prepare());
  obstacles.insert(obstacles.end(), report.forecast.obstacles.begin(),
                   report.forecast.obstacles.end());
  report.forecast.obstacles = std::move(obstacles);
  ApplyOptions options = OptionsFor(Clock::now() + std::chrono::seconds(1));
  options.without_stacks = job.without_stacks;
  if (!module.why_loaded_again().empty()) {
    report.forecast.remarks.push_back(
        absl::StrCat("its module takes memory again, as it was loaded before "
                     "and ",
                     module.why_loaded_again()));
  }
  for (const std::string& remark : module.remarks()) {
    report.forecast.remarks.push_back(remark);
  }
  options.remarks = &report.forecast.remarks;
  absl::StatusOr<std::vector<Blocker>> blockers = update->Rehearse(options);
  if (absl::IsUnimplemented(blockers.status())) {
    report.forecast.remarks.emplace_back(
        "what blocks it is known when its threads try it");
    return report;
  }
  INSTAR_RETURN_IF_ERROR(blockers.status());
  report.blockers = *std::move(blockers);
  if (job.without_stacks) {
    report.forecast.remarks.emplace_back(
        "no thread was stopped: what is active on their stacks, and who comes "
        "to no update point, is not known");
  }
  return report;
}

}  // namespace manager_internal
}  // namespace instar
