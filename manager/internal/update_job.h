// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the update driver keeps of each job, and of each applied update.
// Internal to this package.

#ifndef INSTAR_MANAGER_INTERNAL_UPDATE_JOB_H_
#define INSTAR_MANAGER_INTERNAL_UPDATE_JOB_H_

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/linux/deadline.h"
#include "base/linux/own_descriptor.h"
#include "manager/control/control_service.h"
#include "manager/internal/update_driver.h"
#include "manager/module/module_file.h"
#include "manager/module/module_loader.h"
#include "manager/module/module_unloader.h"
#include "threads/thread_ref.h"
#include "updates/update.h"

namespace instar {
namespace manager_internal {

struct UpdateDriver::Job {
  enum class Kind { kLoad, kUndo, kCheck, kUnload };

  Job(Kind k, std::chrono::nanoseconds limit)
      : kind(k), timeout(limit), until(DeadlineAfter(begin, limit)) {}

  void Cancel() {
    if (std::exchange(is_cancelled, true)) return;
    cancelled = Clock::now();
  }
  // Whether it is one that changes what is applied.
  bool is_update() const { return kind == Kind::kLoad || kind == Kind::kUndo; }
  bool has_remains() const { return update != nullptr || module != nullptr; }

  const Kind kind;
  const std::chrono::nanoseconds timeout;
  const Clock::time_point begin = Clock::now();
  const Clock::time_point until;
  Requester by;
  std::string path;  // of the module; empty: `update` was given
  std::shared_ptr<OwnDescriptor> sent_file;  // that of the module, if any
  Done<UpdateReport> done;
  Done<CheckReport> checked;  // of a check
  Done<UnloadReport> unloaded;
  UnloadOptions unload_options;
  bool without_stacks = false;

  // Of the worker.
  bool has_begun = false;
  std::string digest;                    // of its module, if that could be read
  std::optional<ModuleFile> file;        // until it is loaded
  std::unique_ptr<LoadedModule> module;  // before `update`, which refers to it
  UpdateReport report;
  CheckReport check_report;
  UnloadReport unload_report;
  std::string kept_path;  // of its module, for debuggers

  // Under the lock. `update` is set by the worker, and stays.
  std::shared_ptr<Update> update;
  std::string name;  // of the update, once that is known
  std::string waits_for = "its turn";
  bool is_cancelled = false;
  Clock::time_point cancelled;  // when that was
  // Something is changed, or may be. A job that was answered before does not
  // come to that.
  bool is_changing = false;
  bool is_answered = false;
  // Nothing of it is left to be done but what its author may still do: what
  // came of it, in words, with its error, and since when; else empty.
  std::string outcome;
  absl::Status error;
  Clock::time_point over;

  // What the worker is at, for people. Relaxed: it is a hint.
  std::atomic<const char*> doing{""};
};

struct UpdateDriver::AppliedUpdate {
  std::unique_ptr<LoadedModule> module;  // before `update`
  std::shared_ptr<Update> update;
  std::string digest;

  // Under the lock: as the worker has found it at the end of a job.
  AppliedReport report;
  std::vector<ThreadRef> started;
  std::vector<std::string> remarks;  // as of when it was applied
};

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_INTERNAL_UPDATE_JOB_H_
