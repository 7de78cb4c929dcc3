// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Converts the objects of a class to its next version, in place: addresses,
// pointers, references and iterators stay (docs/object_conversion.md).
// PyMoult (HotSWUP'13), section 2.3.
//
//   absl::Status status = instar::ConvertAll<Product, ProductV2>();
//
// at a moment when no other thread uses a Product. It is one strategy of three,
// and each is a step that can be planned:
//
//   std::unique_ptr<ConversionStep> step =
//       instar::EagerConversion<Product, ProductV2>();
//   absl::Status prepared = step->Prepare();  // the program runs: checks
//   ... stop all threads ...
//   absl::Status applied = step->Apply();     // or Undo(), later
//
//   EagerConversion        every object in Apply()
//   LazyConversion         each object at its first access through a LazyProxy
//                         after Apply()
//   ProgressiveConversion  lazily, and a thread in the background converts the
//                         others in small portions; WaitUntilDone() ends then
//
// In updates each is a mechanism (updates/mechanisms/convert.h). Another one is
// another class that implements ConversionStep, on top of VersionChange
// (heap/internal/version_change.h); ConvertBy() makes a mechanism of it.
//
// Threads: see each function. Errors: those of VersionChange::Check(), and what
// Convert() answers, with the object's address and number before it.

#ifndef INSTAR_HEAP_CONVERSION_H_
#define INSTAR_HEAP_CONVERSION_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "heap/class_version.h"
#include "heap/internal/conversion_watch.h"
#include "heap/internal/updatable_class.h"
#include "heap/internal/version_change.h"
#include "heap/internal/version_record.h"
#include "heap/weak_object_pool.h"

namespace instar {

// One class and its next version, as a part of an update. It is no mechanism
// itself: it stops nobody, and does not know whose stacks must be looked at, so
// that whoever has stopped all threads by himself can use it.
class ConversionStep {
 public:
  virtual ~ConversionStep() = default;

  // "Product -> ProductV2, lazily"
  virtual std::string name() const = 0;

  // While the program runs; changes nothing.
  virtual absl::StatusOr<ConversionForecast> Check() const = 0;

  // While the program runs: Check(), and everything that Apply() needs to have
  // allocated. May be repeated.
  virtual absl::Status Prepare() = 0;

  // While no other thread uses the class. All or nothing: on an error, all
  // objects are of the version that they had.
  virtual absl::Status Apply() = 0;

  // While no other thread uses the class. Takes back an Apply() that succeeded;
  // does nothing otherwise. FailedPrecondition if a later version of the class
  // is in use.
  virtual absl::Status Undo() = 0;

  // Apply() and Undo() tell `watch` of each object from here on, and begin with
  // no other one when it says so: they answer Aborted then, and some objects
  // are of the one version, some of the other. Null: nobody watches. A step
  // that knows nothing of it is not stopped.
  virtual void WatchBy(ConversionWatch* watch) { static_cast<void>(watch); }

  // While the program runs, around any moment in which its threads are stopped:
  // work in the background pauses, so that it cannot need what a stopped thread
  // holds.
  virtual void PauseBackground() {}
  // The same, unless an object's Convert() has not returned by then: it answers
  // false, and nothing is paused.
  virtual bool TryPauseBackground(std::chrono::steady_clock::time_point until) {
    static_cast<void>(until);
    PauseBackground();
    return true;
  }
  virtual void ResumeBackground() {}

  // While the program runs, by any thread. Done: nothing is left to be
  // converted in the background (lazy conversion is done from the start: it has
  // no background).
  virtual bool Done() const { return true; }
  virtual void WaitUntilDone() {}

  // Of the class, by version. At any time, by any thread. Each object counts
  // once, while versions come and go for the one that it had just before.
  virtual ObjectCounts Counts() const = 0;
};

namespace heap_internal {

std::unique_ptr<ConversionStep> MakeEagerStep(
    std::unique_ptr<VersionChange> change);
std::unique_ptr<ConversionStep> MakeLazyStep(
    std::unique_ptr<VersionChange> change);
std::unique_ptr<ConversionStep> MakeProgressiveStep(
    std::unique_ptr<VersionChange> change, std::size_t portion);

}  // namespace heap_internal

template <typename Old, typename New>
std::unique_ptr<ConversionStep> EagerConversion(
    ConversionOptions options = {}) {
  return heap_internal::MakeEagerStep(
      VersionChange::Of<Old, New>(std::move(options)));
}

template <typename Old, typename New>
std::unique_ptr<ConversionStep> LazyConversion(ConversionOptions options = {}) {
  return heap_internal::MakeLazyStep(
      VersionChange::Of<Old, New>(std::move(options)));
}

// `portion`: slots that the background looks at before it lets others run.
template <typename Old, typename New>
std::unique_ptr<ConversionStep> ProgressiveConversion(
    ConversionOptions options = {}, std::size_t portion = 1000) {
  return heap_internal::MakeProgressiveStep(
      VersionChange::Of<Old, New>(std::move(options)), portion);
}

// Checks, prepares and applies an eager conversion for good. While no other
// thread uses the class. On an error everything is as before.
template <typename Old, typename New>
absl::Status ConvertAll(ConversionOptions options = {}) {
  auto step = EagerConversion<Old, New>(std::move(options));
  absl::Status status = step->Prepare();
  return status.ok() ? step->Apply() : status;
}

// Converts one object to the latest version of its class, as a proxy would;
// also one whose conversion failed before. At any time; no other thread may use
// the object through a plain pointer or reference meanwhile.
template <typename T>
absl::Status ConvertObject(T* object) {
  using Root = typename T::UpdatableRoot;
  heap_internal::UpdatableClass* root = T::Class();
  Root* start = object;
  return heap_internal::BringUpToDate(root, start, root->Find(start),
                                      /*retry=*/true);
}

}  // namespace instar

#endif  // INSTAR_HEAP_CONVERSION_H_
