// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The threads that a step of a plan reboots at a rendezvous. Internal to this
// package.
//
// MakeRoom() while the threads run. Find() looks whether they can be rebooted,
// and makes what they go on with; Begin() reboots them all and cannot fail;
// Cancel() at the same rendezvous, or Released() after it, is next. While they
// are held nothing is allocated but by the author's code.

#ifndef INSTAR_UPDATES_MECHANISMS_INTERNAL_REBOOT_TARGETS_H_
#define INSTAR_UPDATES_MECHANISMS_INTERNAL_REBOOT_TARGETS_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "threads/attempt.h"
#include "threads/held_reboot.h"
#include "threads/rendezvous.h"
#include "threads/thread_ref.h"
#include "updates/mechanisms/thread_main.h"
#include "updates/quiescence/blocker.h"

namespace instar {

class RebootTargets {
 public:
  // For Find() with these. Forgets what was found before.
  void MakeRoom(const std::vector<ThreadRef>& threads);
  // Those that `wanted` accepts. Not yet: Blockers() says why, when the threads
  // have been released. Failed: the author's code has.
  Attempt Find(absl::Span<const HeldThread> threads,
               absl::FunctionRef<bool(const ThreadRef&)> wanted,
               const ThreadMain& main);
  std::vector<Blocker> Blockers() const;

  std::size_t size() const { return targets_.size(); }
  // As Mechanism: all, if it is one of them, and nothing keeps the reboot's
  // exception.
  std::uintptr_t UnwindsUpTo(const ThreadRef& thread) const;

  // In an update function of the thread: when that has returned.
  static Attempt RebootHere(UpdateContext& context, const ThreadMain& main);

  void Begin();
  void Cancel();
  void Released();

 private:
  struct Target {
    ThreadRef thread;
    HeldReboot reboot;
    absl::AnyInvocable<void()> main;
    RebootOptions options;
    bool may_be_caught;
  };
  struct Obstacle {
    ThreadRef thread;
    RebootObstacle obstacle;
    absl::Status error;  // why not, if there is no such obstacle
    bool has_just_begun = false;
  };

  std::vector<HeldReboot> prepared_;
  std::vector<Target> targets_;
  std::vector<Obstacle> obstacles_;
};

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_INTERNAL_REBOOT_TARGETS_H_
