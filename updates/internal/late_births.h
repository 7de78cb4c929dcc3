// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Objects that old code makes after an update, converted.
//
//   LateBirths late_births;
//   while (...) {                         // a thread that looks now and then
//     if (HaveLateBirths()) {             // heap/internal/version_change.h, cheap
//       const Attempt attempt = late_births.TryConvert();
//       if (attempt.is_not_yet()) ...     // why; at the next look then
//     }
//   }
//
// Old code that says `new Site` makes a Site, whatever version the class has
// (docs/object_conversion.md). A lazily converted class needs nothing: a proxy
// converts it. Otherwise it is done here, as the update itself was: controlled
// threads are held at a rendezvous, and nobody is inside the class (with the
// options that its latest update had, updates/mechanisms/class_functions.h).
// All other threads of the process are stopped by a signal then, and looked at,
// if that update did so (StopOptions::others_by_signal, which says what it
// costs them): a plan does, a Change with kControlledThreads does not. Nor is
// it done where threads are given here. Whoever chose that said that no others
// use objects of the class.
// Only classes that may have such objects are looked for. New code that makes
// objects of the latest version sets it off, too, so that a rendezvous may find
// nothing to do: ask a few times a second rather than a thousand.
//
// Threads: one at a time, also one that is controlled. Errors: as "failed", the
// first that a Convert() answered; that object stays what it is and is not
// tried again, the others are converted. DATA_LOSS if a Convert() did not
// return within five seconds: the threads were released under it.

#ifndef INSTAR_UPDATES_INTERNAL_LATE_BIRTHS_H_
#define INSTAR_UPDATES_INTERNAL_LATE_BIRTHS_H_

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "heap/internal/version_change.h"
#include "threads/attempt.h"
#include "threads/thread_ref.h"
#include "updates/internal/transition.h"
#include "updates/quiescence/internal/retries.h"

namespace instar {

struct LateBirthsOptions {
  // For how long an attempt waits for threads; longer after one to which that
  // was too short, as of ChangeOptions (updates/change.h).
  std::chrono::nanoseconds limit = std::chrono::milliseconds(10);
  // Which threads are held, and no others looked at; null: all controlled ones.
  std::function<std::vector<ThreadRef>()> threads;
};

class LateBirths {
 public:
  explicit LateBirths(LateBirthsOptions options = {});

  // Done: there are none (any more).
  Attempt TryConvert();

  // What has been given up and still runs: "Convert() of an object of Site
  // still runs, in thread 12, in ..."; empty if there is no such thing. By any
  // thread.
  std::string running() const;

 private:
  Attempt TryConvert(heap_internal::UpdatableClass* root);
  void SetTransition(
      std::shared_ptr<const updates_internal::Transition> transition);

  const LateBirthsOptions options_;
  mutable std::mutex lock_;  // of the next one
  // During an attempt.
  std::shared_ptr<const updates_internal::Transition> transition_;
  updates_internal::Retries retries_;
  std::string reason_;        // of the latest "not yet"
  bool is_thorough_ = false;  // since somebody was in the way
};

}  // namespace instar

#endif  // INSTAR_UPDATES_INTERNAL_LATE_BIRTHS_H_
