// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The update manager: what makes a program one that takes updates while it
// runs. (PyMoult (HotSWUP'13), section 2 and figure 1.)
//
//   int main() {
//     absl::StatusOr<instar::Manager> manager = instar::Manager::Start();
//     if (!manager.ok()) return Fail(manager.status());
//     instar::ControlledThread display =
//         instar::StartActiveThread("display", DisplayMain);
//     instar::ControlledThread socket =
//         instar::StartPassiveThread("socket", SocketMain, port);
//   }                                 // the threads are joined, then it stops
//
// From then on `instarctl load add_ratings.so` applies an update. The manager
// listens at a Unix socket in a directory of this user
// (manager/control/socket_directory.h) and serves this user, and root; it loads
// update modules (manager/module/module_loader.h), drives each update to its
// end, keeps a journal (manager/internal/journal.h), tells the system's log who
// did what (manager/internal/system_log.h), and answers what is going on. It
// composes: what an update does is in updates/.
//
// An update takes effect in all controlled threads
// (threads/controlled_thread.h), also in those that start later; a plan stops
// the other threads of the process by a signal for that moment, unless it says
// otherwise (updates/update_plan.h). A program can register the ones concerned
// instead (ManagerOptions::only_registered_threads): others are then neither
// held nor looked at, an update that names one waits until it is registered,
// and says so, and one that would stop all of the process (Stacks::kAllThreads)
// is refused. Threads that an update starts are registered with it.
//
// Updates are applied one at a time, in the order in which they were asked for.
// One that waits for others, which it requires, or for a condition of its own,
// does not keep those behind it. The latest one can be undone.
//
// From within the program, and for tests:
//
//   UpdatePlan plan("ratings");
//   plan.Redefine(&DoCommand, &NewDoCommand);
//   absl::StatusOr<UpdateReport> report =
//       manager->Apply(MakeUpdate(std::move(plan)), std::chrono::seconds(5));
//
// Cost: the manager has three threads, which sleep until something is asked
// (one wakes once a second, to see whether its socket can still be reached;
// after an update one wakes ten times a second, to look for objects that old
// code has made). When it starts, one of them reads the program's
// symbols and debug information; the program does not wait for that.
//
// Lifetime: start it first, so that it is destroyed last. Its end gives up what
// is pending and leaves applied what is applied. It waits for an update that is
// just being worked on, but not for code of its author that does not return
// though the update was given up (within some seconds): that goes on in its
// thread, and ends with the process. The child of a fork() has none
// of its threads: there it must not be used, but by StartInChild(), and its end
// does nothing.
//
// Threads: all functions may be called from any thread. Apply(), Load() and
// Undo() wait; a controlled thread that calls them counts as stopped meanwhile,
// and the functions on its stack are active.

#ifndef INSTAR_MANAGER_MANAGER_H_
#define INSTAR_MANAGER_MANAGER_H_

#include <chrono>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "manager/control/control_service.h"
#include "threads/controlled_thread.h"
#include "threads/thread_ref.h"
#include "updates/update.h"

struct sock_fprog;  // <linux/filter.h>

namespace instar {

struct ManagerOptions {
  // By which instarctl finds it; empty: the name of the executable.
  std::string name;
  // Controlled threads are left alone until they are given to Register().
  bool only_registered_threads = false;
  // The manager's threads keep the root folder of now, and have "/" as their
  // working folder: a program that calls chroot(2) later, into a folder that
  // has no /proc, is updated as before. Paths that code of an update gives to
  // the system while it runs on these threads are those of the old root.
  bool keeps_root = false;
  // Called once, on a thread of its own, when no thread of the program is left
  // (main() has left by pthread_exit(), and all others have ended): without a
  // manager the process would end then. For whoever keeps the manager until the
  // process ends; otherwise it goes with what owns it.
  std::function<void()> when_program_has_ended = nullptr;
};

class Manager {
 public:
  // Errors: those of the directory and the socket, which name the path;
  // FailedPrecondition if a seccomp filter would end the process for what a
  // manager does.
  static absl::StatusOr<Manager> Start(ManagerOptions options = {});

  // In a child of fork(), on its only thread or on one that it has started: a
  // manager of the child's own, under the same name. What was applied at the
  // fork is in effect in the child, and can be undone there. `of_parent`, the
  // copy of the parent's manager, is of no use afterwards.
  static absl::StatusOr<Manager> StartInChild(Manager& of_parent);

  Manager(Manager&&) noexcept;
  Manager& operator=(Manager&&) noexcept;
  ~Manager();

  // Applies the updates that are enabled for this build
  // (manager/enabled/enabled_store.h), one after the other; waits for them, 60
  // seconds in all at most. What is not applied is skipped, and Status() and
  // the journal say why. For whoever starts the program, once its static
  // initializers have run: libinstar_agent.so does so before main().
  void ApplyEnabled();

  // With ManagerOptions::only_registered_threads: until the threads end. Again
  // does no harm.
  void Register(std::initializer_list<const ControlledThread*> threads);
  void Register(const ThreadRef& thread);

  // Returns when the update has taken effect, or has not.
  absl::StatusOr<UpdateReport> Apply(
      std::unique_ptr<Update> update,
      std::chrono::nanoseconds timeout = std::chrono::seconds(30));
  // The same for a module.
  absl::StatusOr<UpdateReport> Load(
      const std::string& path,
      std::chrono::nanoseconds timeout = std::chrono::seconds(30));
  // Takes back the latest update.
  absl::StatusOr<UpdateReport> Undo(
      std::chrono::nanoseconds timeout = std::chrono::seconds(30));

  StatusReport Status() const;
  // What does not work in this process whatever the update, as it was found at
  // the start, because its service was hardened or it has changed its user: a
  // sentence each, with the line of the unit file that has to change
  // (docs/hardened_services.md). Also among Status().remarks, and in the
  // journal.
  std::vector<std::string> Limits() const;
  absl::StatusOr<std::vector<JournalEntry>> Journal() const;

  // Whether this process could go on with a manager if it laid this seccomp
  // filter on all of its threads (SECCOMP_FILTER_FLAG_TSYNC), the manager's
  // among them: FailedPrecondition if it would be ended for what a manager
  // does. Then the manager is to be ended before. Makes a child that is not
  // noticed (base/linux/seccomp_filter.h). libinstar_agent.so asks by itself.
  static absl::Status MayGoOnUnder(const sock_fprog& filter);

  // Where it listens now.
  std::string socket_path() const;

 private:
  class State;
  explicit Manager(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace instar

#endif  // INSTAR_MANAGER_MANAGER_H_
