// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A plan: mechanisms that take effect at one moment, or not at all.
//
//   absl::Status AddRatings(instar::UpdatePlan& plan) {
//     plan.ConvertLazily<Product, ProductV2>();
//     plan.ConvertEagerly<Site, SiteV2>();
//     plan.Redefine(&DoCommand, &NewDoCommand);
//     plan.Reboot("display", MainWith(&NewDisplay, [](const HeldThread&) {
//                   return ReadExposed<std::chrono::milliseconds>("period");
//                 }));
//     return absl::OkStatus();
//   }
//
//   UpdatePlan plan("ratings");
//   INSTAR_RETURN_IF_ERROR(AddRatings(plan));
//   std::unique_ptr<Update> update = MakeUpdate(std::move(plan));
//   INSTAR_RETURN_IF_ERROR(update->Apply({}));        // see updates/update.h
//
// This closes what PyMoult (HotSWUP'13), section 3, leaves open: "the
// simultaneous update of the two threads can lead to version synchronization
// problems".
//
// Apply() prepares everything that can fail while the program runs: symbols,
// debug information, memory. Then it tries, until it succeeds, is cancelled or
// its time is up:
//   1. The requirements are asked (When).
//   2. The controlled threads meet at a rendezvous (threads/rendezvous.h); the
//      background work of progressive conversions pauses. When they are held,
//      the other threads of the process are stopped by a signal
//      (updates/quiescence/stopped_world.h).
//   3. Their stacks are walked. No function that is redefined (but at once)
//      may be active on one, in any version, nor one that uses a class that is converted,
//      except on threads that the plan reboots; these must be such that they
//      can be unwound. Otherwise the threads go on, and it is tried again
//      later: after 0.2 ms at first, then twice as long each time up to 4 ms,
//      and never so that threads are held for more than 20 ms of any second.
//      A passive thread that has not come in time is waited for alone from then
//      on, and the others are held when it has come.
//   4. The hooks of Before(), the mechanisms in the order in which they were
//      added (all redefinitions are one, at the place of the first), the hooks
//      of After(). If one fails, those before it are rolled back, and the
//      threads go on as if nothing had been.
//   5. The threads go on. Those that are rebooted unwind their stacks; they run
//      nothing old but destructors, except where a catch (...) keeps the
//      reboot's exception (threads/update_request.h).
// Undo() is the same backwards. If one fails, objects that had been taken back
// are converted anew: what only their new version holds begins
// again as that makes it.
//
// Errors in what was given (an unknown function, an empty hook) are kept, and
// answered by Prepare() and Apply() before any thread is disturbed.
//
// Which threads: all of the process. Controlled threads are held at update
// points, in declared regions and in system calls, where they own no lock of
// the allocator. The others are stopped wherever they are; one that may own
// such a lock there lets the plan be tried again. Looked at are the stacks of
// all of them, their paused continulets' included, and of the caller of
// Apply(). Poll() and sleeping calls of those that are stopped by a signal
// return EINTR (signal(7)). OnlyRegisteredThreads() and AtUpdatePoint() of all
// threads leave the others alone, and so does whoever says which threads there
// are (ApplyOptions::threads).
//
// Lifetime: a plan is moved into its update. Functions and callables stay in
// use for as long as the update is applied, and longer where threads run them.
// Threads: a plan belongs to one thread.

#ifndef INSTAR_UPDATES_UPDATE_PLAN_H_
#define INSTAR_UPDATES_UPDATE_PLAN_H_

#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/strings/string_view.h"
#include "code/redefinable.h"
#include "heap/internal/version_change.h"
#include "threads/attempt.h"
#include "threads/thread_state.h"
#include "updates/mechanisms/class_functions.h"
#include "updates/mechanisms/convert.h"
#include "updates/mechanisms/hook.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/mechanisms/new_thread.h"
#include "updates/mechanisms/reboot.h"
#include "updates/mechanisms/redefine.h"
#include "updates/mechanisms/redefinitions.h"
#include "updates/mechanisms/thread_main.h"
#include "updates/update.h"

namespace instar {

class UpdatePlan {
 public:
  using Hook = instar::Hook;

  explicit UpdatePlan(std::string name);
  UpdatePlan(UpdatePlan&&) noexcept;
  UpdatePlan& operator=(UpdatePlan&&) noexcept;
  ~UpdatePlan();

  const std::string& name() const;

  // Functions; all of the plan switch together. As Redefinitions::Add().
  template <typename F, std::enable_if_t<std::is_function_v<F>, int> = 0>
  void Redefine(F* from, std::common_type_t<F*> to) {
    redefinitions().Add(from, to);
  }
  template <typename C, typename F,
            std::enable_if_t<std::is_function_v<F>, int> = 0>
  void Redefine(F C::*from, std::common_type_t<F C::*> to) {
    redefinitions().Add(from, to);
  }
  template <typename R, typename C, typename... A>
  void Redefine(R (C::*from)(A...), R (*to)(C*, A...)) {
    redefinitions().Add(from, to);
  }
  template <typename R, typename C, typename... A>
  void Redefine(R (C::*from)(A...) const, R (*to)(const C*, A...)) {
    redefinitions().Add(from, to);
  }
  // A slot (code/redefinable.h).
  template <typename R, typename... A>
  void Redefine(Redefinable<R(A...)>& slot,
                typename Redefinable<R(A...)>::Function to) {
    redefinitions().Add(slot, to);
  }
  // As Redefinitions::AddNamed().
  template <typename F, std::enable_if_t<std::is_function_v<F>, int> = 0>
  void RedefineNamed(absl::string_view from, F* to,
                     NamedRedefinitionOptions options = {}) {
    redefinitions().AddNamed(from, to, options);
  }
  void RedefineNamed(absl::string_view from, absl::string_view to,
                     NamedRedefinitionOptions options = {}) {
    redefinitions().AddNamed(from, to, options);
  }
  // As Redefinitions::AddUntyped().
  void RedefineUntyped(absl::StatusOr<Function> from, const void* to) {
    redefinitions().AddUntyped(std::move(from), to);
  }
  // As instar::RedefineAtOnce() (updates/mechanisms/redefine.h).
  template <typename F, std::enable_if_t<std::is_function_v<F>, int> = 0>
  void RedefineAtOnce(F* from, std::common_type_t<F*> to) {
    Add(instar::RedefineAtOnce(from, to));
  }
  // Copies of redefined functions that were inlined elsewhere go on as they
  // are.
  void IgnoreInlinedCopies();

  // Classes (updates/mechanisms/convert.h).
  template <typename Old, typename New>
  void ConvertEagerly(ConversionOptions options = {},
                      ClassFunctionsOptions functions = {}) {
    Add(instar::ConvertEagerly<Old, New>(std::move(options),
                                         std::move(functions)));
  }
  template <typename Old, typename New>
  void ConvertLazily(ConversionOptions options = {},
                     ClassFunctionsOptions functions = {}) {
    Add(instar::ConvertLazily<Old, New>(std::move(options),
                                        std::move(functions)));
  }
  template <typename Old, typename New>
  void ConvertProgressively(ConversionOptions options = {},
                            ClassFunctionsOptions functions = {}) {
    Add(instar::ConvertProgressively<Old, New>(std::move(options),
                                               std::move(functions)));
  }

  // As instar::Reboot() (updates/mechanisms/reboot.h).
  void Reboot(std::string thread_name, ThreadMain new_main,
              ThreadMain main_when_undone = nullptr) {
    Add(instar::Reboot(std::move(thread_name), std::move(new_main),
                       std::move(main_when_undone)));
  }

  // As NewThread() (updates/mechanisms/new_thread.h).
  void StartActiveThread(std::string name, std::function<void()> main) {
    Add(NewThread(std::move(name), ThreadKind::kActive, std::move(main)));
  }
  void StartPassiveThread(std::string name, std::function<void()> main) {
    Add(NewThread(std::move(name), ThreadKind::kPassive, std::move(main)));
  }

  // While the threads are held, before all steps and after them; Before() hooks
  // in the order given, After() hooks too. `undo` takes it back; without it,
  // the update cannot be undone, and if a later step fails, what the hook did
  // stays, and the error says so. No lock of the program may be taken
  // (updates/mechanisms/mechanism.h), unless the plan holds the threads where
  // they own none (AtUpdatePoint()). A hook that has not returned when the time
  // is up, and has run for a second, is given up: the threads are released,
  // nothing more is done or undone, and the answer, when it returns, is
  // DataLoss.
  void Before(Hook hook, Hook undo = nullptr);
  void After(Hook hook, Hook undo = nullptr);

  // Asked before each attempt, while the threads run. Not yet: the update
  // waits. Failed: the update is dropped, with FailedPrecondition.
  void When(std::function<Attempt()> requirement);

  // The threads are held only at update points of this name, or in blocking
  // regions that are declared to lie there (threads/blocking_region.h):
  // "between requests", where whole requests must see one version. Threads that
  // are not registered come to no such place, and are left alone, as by
  // OnlyRegisteredThreads(). Whether
  // there is such a point cannot be known before a thread comes to it: one to
  // which none has come is a remark of Rehearse(), with the nearest names, and
  // no error (threads/known_names.h).
  void AtUpdatePoint(std::string point);
  // The same of the threads of a name only, which must not be in the middle of
  // something that their stacks do not show. The others are held wherever they
  // can be, and those that are not registered are stopped and looked at.
  void AtUpdatePoint(std::string point, const std::string& thread_name);

  // Threads that are not registered are neither stopped nor looked at: they
  // must not use what the plan changes. For programs that have threads which
  // cannot be stopped, or whose calls must not return EINTR.
  void OnlyRegisteredThreads();

  // Any mechanism, one's own too (updates/mechanisms/mechanism.h).
  void Add(std::shared_ptr<Mechanism> mechanism);

 private:
  friend std::unique_ptr<Update> MakeUpdate(UpdatePlan plan);
  struct State;

  Redefinitions& redefinitions();

  std::unique_ptr<State> state_;
};

std::unique_ptr<Update> MakeUpdate(UpdatePlan plan);

}  // namespace instar

#endif  // INSTAR_UPDATES_UPDATE_PLAN_H_
