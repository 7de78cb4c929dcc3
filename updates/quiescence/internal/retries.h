// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How attempts to change something follow each other, whatever the change is
// and whoever makes the attempts: when the next may stop threads, for how long
// it waits for them, and which of them it asks first. Internal to this package.
//
//   Retries retries{Pacing::Options()};
//   if (retries.IsTooEarly(now)) return Attempt::NotYet(reason);
//   retries.Prepare(options);                 // limit, and whom to ask first
//   StoppedWorld world(options);
//   ...
//   world.Release();
//   retries.Note(Retries::Clock::now(), Retries::StopOf(world), obstacles);
//
// Threads are stopped for no more than a given part of any second
// (updates/quiescence/internal/pacing.h). A passive thread that has not come is
// asked alone next time, and the others when it has arrived: they do not stand
// still for its sake. (Not an active one, for which the entries of all
// functions would have to be intercepted meanwhile.) After some such attempts
// all are asked again, since others may be late by then.
//
// Threads: used by one.

#ifndef INSTAR_UPDATES_QUIESCENCE_INTERNAL_RETRIES_H_
#define INSTAR_UPDATES_QUIESCENCE_INTERNAL_RETRIES_H_

#include <chrono>
#include <cstddef>
#include <optional>
#include <vector>

#include "threads/rendezvous.h"
#include "updates/quiescence/internal/obstacles.h"
#include "updates/quiescence/internal/pacing.h"
#include "updates/quiescence/stopped_world.h"

namespace instar {
namespace updates_internal {

class Retries {
 public:
  using Clock = Pacing::Clock;

  explicit Retries(const Pacing::Options& options) : pacing_(options) {}

  // When the next attempt may begin; the clock's epoch before the first.
  Clock::time_point next() const { return next_; }
  bool IsTooEarly(Clock::time_point now) const { return now < next_; }

  // Fills in what the next attempt waits for.
  void Prepare(StopOptions& options) const;

  // What an attempt did to threads.
  struct Stop {
    // Nothing if none was stopped.
    std::optional<Clock::time_point> begin;
    Clock::time_point end;
    bool first_did_not_come = false;
  };
  // After its Release().
  static Stop StopOf(const StoppedWorld& world) {
    return {world.stopped(), world.released(), world.first_did_not_come()};
  }

  // An attempt that was "not yet", when its threads run again.
  void Note(Clock::time_point now, const Stop& stop,
            const Obstacles& obstacles);
  // One that stopped nobody, because of something else.
  void NoteOther(Clock::time_point now);

 private:
  Pacing pacing_;
  Clock::time_point next_{};
  std::vector<MissingThread> late_;
  int alone_ = 0;  // attempts since then, each with one of them asked first
};

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_QUIESCENCE_INTERNAL_RETRIES_H_
