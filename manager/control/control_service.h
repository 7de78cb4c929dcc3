// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a program that can be updated is asked from outside, and what it
// answers. The control server (manager/control/control_server.h) turns requests
// from a socket into these calls, the manager (manager/manager.h) carries them
// out.
//
// Threads: all calls may be made from any thread, several at once. None waits
// for an update: Load(), Undo(), Unload() and Check() return at once and call
// `done` later, exactly once, on a thread of the service, or before they
// return. A service that ends calls what is left with Cancelled.
//
// Errors keep the codes of whoever found them: NotFound, PermissionDenied,
// InvalidArgument (manager/module/module_file.h), FailedPrecondition, Aborted
// (manager/module/module_loader.h), AlreadyExists (an update of that name is
// applied or under way), DeadlineExceeded, Cancelled (updates/update.h).

#ifndef INSTAR_MANAGER_CONTROL_CONTROL_SERVICE_H_
#define INSTAR_MANAGER_CONTROL_CONTROL_SERVICE_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/linux/own_descriptor.h"
#include "heap/weak_object_pool.h"
#include "manager/module/module_file.h"
#include "manager/module/unload_report.h"
#include "threads/thread_state.h"
#include "updates/update.h"

namespace instar {

using SystemTime = std::chrono::system_clock::time_point;

struct ProgramReport {
  std::string name;  // of its control socket
  pid_t pid = 0;
  std::string build_id;    // hexadecimal digits
  std::string executable;  // its path
  SystemTime started;      // the manager
  // As the program counts them (manager/program_health.h).
  std::uint64_t requests = 0;
  std::uint64_t errors = 0;
};

struct ThreadReport {
  std::string name;
  pid_t tid = 0;
  ThreadKind kind = ThreadKind::kActive;
  ThreadState state = ThreadState::kNew;
  bool is_registered = false;  // others are left alone
};

// An update that has been applied, oldest first.
struct AppliedReport {
  std::string update;
  std::string module;  // path; empty: from within the program
  SystemTime applied;
  HoldTimes hold_times;
  std::chrono::nanoseconds elapsed{};  // from the command on
  // A progressive conversion goes on in the background.
  bool is_converting = false;
  // Whether Undo() takes it back, and what that would lose, a sentence each.
  absl::Status can_undo;
  std::vector<std::string> lost_by_undo;
};

enum class PendingKind { kLoad, kUndo };

// What is being worked on, or waits for its turn, in that order.
struct PendingReport {
  PendingKind kind = PendingKind::kLoad;
  std::string update;
  std::string module;  // path
  // Set while it waits for something else than a safe moment: updates that it
  // requires, its own conditions, its turn.
  std::string waits_for;
  std::chrono::nanoseconds timeout{};
  std::chrono::nanoseconds elapsed{};  // since the command
  UpdateProgress progress;
};

struct StatusReport {
  ProgramReport program;
  // Sentences: what the program cannot do as it was built, or as it runs now.
  std::vector<std::string> remarks;
  std::vector<ThreadReport> threads;
  std::vector<AppliedReport> applied;
  std::vector<PendingReport> pending;
  std::vector<ObjectCounts> classes;
  std::vector<KeptReport> kept;
};

// Of a Load() or Undo() that took effect.
struct UpdateReport {
  std::string update;
  int attempts = 0;
  HoldTimes hold_times;
  // From the command on, in parts: until it was its turn, reading and loading
  // the module, preparing, and from the first attempt on until the threads ran
  // again.
  std::chrono::nanoseconds elapsed{};
  std::chrono::nanoseconds queued{};
  std::chrono::nanoseconds loading{};
  std::chrono::nanoseconds preparing{};
  std::chrono::nanoseconds applying{};
  std::size_t objects_converted = 0;
  // Sentences: what it does not do although it is applied.
  std::vector<std::string> remarks;
};

// What Load() would do. Nothing has been changed.
struct CheckReport {
  std::string update;
  ModuleKind kind = ModuleKind::kPlan;
  std::size_t code_size = 0;          // bytes
  std::size_t loaded_size = 0;        // bytes
  std::vector<std::string> required;  // names of updates
  UpdateForecast forecast;
  std::vector<Blocker> blockers;  // at this moment
};

// An object that the dynamic linker has loaded into the process.
struct ImageReport {
  std::string path;      // as the dynamic linker knows it; of the program empty
  std::string soname;    // empty: it has none
  std::string build_id;  // hexadecimal digits; empty: it has none
};

// In the order in which it happened; also of earlier runs of the program.
struct JournalEntry {
  SystemTime time;
  pid_t pid = 0;
  // "started", "ended", "applied", "undone", "failed", "cancelled", "skipped"
  // (of what is enabled), "limited" (what the system does not let it do)
  std::string event;
  std::string update;  // empty for "started", "ended" and "limited"
  std::string detail;  // the error; how long threads were held
};

// A module that is to be loaded or checked.
struct ModuleSource {
  ModuleSource(std::string its_path) : path(std::move(its_path)) {}

  std::string path;  // as the client calls it
  // The file itself, if the client has sent it; else the path is that of a file
  // here. A client may see other files than this process does.
  std::shared_ptr<OwnDescriptor> file;
};

// Who asks: the process at the other end of a connection (SO_PEERCRED).
struct Requester {
  // 0: the program itself; -1: one outside of its process namespace, which has
  // no number there.
  pid_t process = 0;
  uid_t user = 0;
};

class ControlService {
 public:
  template <typename Report>
  using Done = absl::AnyInvocable<void(absl::StatusOr<Report>)>;

  virtual ~ControlService() = default;

  // Applies a module. Its requirements and a safe moment are waited for, up to
  // `timeout`.
  virtual void Load(ModuleSource module, std::chrono::nanoseconds timeout,
                    const Requester& by, Done<UpdateReport> done) = 0;

  // Takes back the latest update. `update`, if it is not empty, must be its
  // name: who asks may have been overtaken.
  virtual void Undo(std::string update, std::chrono::nanoseconds timeout,
                    const Requester& by, Done<UpdateReport> done) = 0;

  // Unloads what was loaded for an update that is not applied any more, if
  // nothing leads into it. Threads may be held for so long.
  virtual void Unload(std::string update, std::chrono::nanoseconds longest_hold,
                      const Requester& by, Done<UnloadReport> done) = 0;

  // `without_stacks`: no thread is stopped, to look at its stack.
  virtual void Check(ModuleSource module, bool without_stacks,
                     Done<CheckReport> done) = 0;

  // Gives up what is pending: that of this name or path of its module, or all
  // of it if that is empty. Returns the names; NotFound if there is none. What
  // has begun to take effect is not given up.
  virtual absl::StatusOr<std::vector<std::string>> Cancel(
      const std::string& update) = 0;

  // What is applied and pending, and what its threads and objects are.
  virtual StatusReport Status() = 0;
  // What it is: its name, build and process.
  virtual ProgramReport Program() = 0;
  // Its files that are loaded.
  virtual std::vector<ImageReport> Images() = 0;
  // All of it, the oldest entry first.
  virtual absl::StatusOr<std::vector<JournalEntry>> Journal() = 0;

  // Somebody was turned away, who may ask nothing; or waits to be accepted,
  // which fails: then it is not known which process that is (-1).
  virtual void Refused(const Requester& who, const absl::Status& why) {
    static_cast<void>(who);
    static_cast<void>(why);
  }

  // About that often, while it is served.
  virtual void EverySecond() {}
};

}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_CONTROL_SERVICE_H_
