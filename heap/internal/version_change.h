// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// One step from a class to its next version, in the parts of which conversion
// strategies are made (heap/conversion.h has the usual ones).
//
// State        Check  Prepare    Install    ConvertAll  TakeBack
// new          ok     -> ready   fatal      fatal       nothing
// ready        ok     ok         -> in use  fatal       nothing
// in use       no     no         fatal      ok          -> ready
// taken back = ready. "fatal" is a check that fails; "no" answers an error,
// since the class has that next version already.
//
// Threads: Check() and Prepare() while the program runs. Install(),
// ConvertAll() and TakeBack() while no other thread uses the class: nobody is
// inside its functions, and no reference or pointer to its objects is used
// until they return. They allocate nothing, also if they fail, beside what
// Convert() and ConvertBack() do, and the error that tells which object theirs
// is about. One VersionChange is used by one thread at a time.

#ifndef INSTAR_HEAP_INTERNAL_VERSION_CHANGE_H_
#define INSTAR_HEAP_INTERNAL_VERSION_CHANGE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <typeinfo>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "heap/internal/conversion_watch.h"
#include "heap/internal/outside_objects.h"
#include "heap/internal/step_code.h"
#include "heap/internal/updatable_class.h"
#include "heap/internal/version_record.h"

namespace instar {

namespace heap_internal {
class WorkerThreads;
}  // namespace heap_internal

struct ConversionOptions {
  // Objects that cannot grow make Check() refuse. If set, they are left as they
  // are instead: new code must expect old objects then.
  bool leave_what_cannot_grow = false;
  // Threads that convert at the same time; Convert() must allow that.
  int threads = 1;
  // Called by eager conversion after every few thousand objects with how many
  // are done; by one thread at a time.
  std::function<void(std::size_t)> progress;
};

// What a conversion would meet.
struct ConversionForecast {
  std::size_t objects = 0;  // tracked objects of the class and its subclasses
  // Not made by `new` and smaller than the next version, or untracked.
  std::size_t cannot_grow = 0;
  std::size_t automatic = 0;  // on a stack: left as they are
  std::size_t of_subclasses = 0;
  // It is to be converted when it is used through a proxy, and none has been.
  bool lacks_proxies = false;
  // Sentences that name them (the first few of each kind), and warnings.
  std::vector<std::string> remarks;
};

class VersionChange {
 public:
  template <typename Old, typename New>
  static std::unique_ptr<VersionChange> Of(ConversionOptions options = {}) {
    return std::make_unique<VersionChange>(
        heap_internal::NextVersionOf<Old, New>(), std::move(options));
  }

  VersionChange(const heap_internal::NextVersion& next,
                ConversionOptions options);
  // A version that is in use stays in use.
  ~VersionChange();
  VersionChange(const VersionChange&) = delete;
  VersionChange& operator=(const VersionChange&) = delete;

  // "Product -> ProductV2"
  const std::string& name() const { return name_; }

  // Whether it can be done, and what it will meet. Errors:
  //   FailedPrecondition  the layout that the program has is another one than
  //                       the update was compiled with; the class has a next
  //                       version already; virtual bases; too little room,
  //                       alignment; objects that cannot grow
  //   ResourceExhausted   more than 254 versions of one class
  absl::StatusOr<ConversionForecast> Check() const;

  // Check(), then allocates what Install() and ConvertAll() need; also
  // ResourceExhausted if the system gives no threads.
  absl::Status Prepare();

  // New is the next version of Old from here on. Converts nothing; proxies
  // convert what they meet. Refuses (FailedPrecondition) if another change came
  // first since Prepare(). `births`: when objects that old code makes from here
  // on are converted: by ConvertLateBirths(), or by proxies only.
  enum class Births { kAtRendezvous, kAtFirstAccess };
  absl::Status Install(Births births = Births::kAtRendezvous);

  // Converts every object. On an error, those converted so far stay converted:
  // TakeBack() undoes it. Aborted if it was stopped (WatchBy()).
  absl::Status ConvertAll();

  // Makes all objects of New objects of Old again, and New no version any more.
  // FailedPrecondition if New has a next version itself: take that back first.
  // Objects of classes that derive from New, and those on stacks, stay. Aborted
  // if it was stopped: some objects are of Old then, and New stays a version.
  absl::Status TakeBack();

  // From here on `watch` is told of each object, and may stop the conversion
  // before the next one; null: nobody watches. While nothing is converted.
  void WatchBy(ConversionWatch* watch) {
    watch_ = watch != nullptr ? watch : &nobody_;
  }
  bool was_stopped() const { return watch_->is_stopped(); }

  bool in_use() const { return in_use_; }
  // Objects that ConvertAll() has converted, and TakeBack() put back.
  std::size_t converted() const { return converted_; }
  std::size_t taken_back() const { return taken_back_; }

  heap_internal::UpdatableClass* root() const { return root_; }
  const heap_internal::VersionRecord* record() const { return record_.get(); }

 private:
  absl::Status ConvertRun(const heap_internal::VersionRecord& to);
  absl::Status ConvertOutside();
  absl::Status ConvertOne(void* object);  // that is outside
  absl::Status ConvertInParallel();
  void BringBack(void* object, std::atomic<heap_internal::Mark>& mark);
  absl::Status Explain(const void* object, const absl::Status& status) const;
  void Report(std::size_t more);

  const heap_internal::NextVersion& next_;
  const ConversionOptions options_;
  heap_internal::UpdatableClass* const root_;
  const std::string name_;
  std::unique_ptr<heap_internal::VersionRecord> record_;  // of New
  bool was_in_use_ = false;  // `record_`: others may read it from then on
  // Of Old, if this change is the first to meet it.
  std::unique_ptr<heap_internal::VersionRecord> old_record_;
  heap_internal::VersionRecord* old_ = nullptr;
  heap_internal::OutsideObjects outside_;
  absl::Status came_first_, came_after_, too_many_;  // prepared
  std::unique_ptr<heap_internal::WorkerThreads> workers_;
  ConversionWatch nobody_;
  ConversionWatch* watch_ = &nobody_;
  bool in_use_ = false;
  std::size_t converted_ = 0;
  std::size_t taken_back_ = 0;
};

// The class itself and all versions of it, and of its subclasses, that are in
// use. At any time.
std::vector<const std::type_info*> TypesOfVersions(
    heap_internal::UpdatableClass* root);

// Converts the objects of the class that old code has made since its last
// version was installed (not with Births::kAtFirstAccess). While no other
// thread uses the class. Returns the first error; the objects concerned stay
// what they are. Costs one load if there is none. `watch` as in WatchBy().
absl::Status ConvertLateBirths(heap_internal::UpdatableClass* root,
                               ConversionWatch* watch = nullptr);
// The same for every class.
absl::Status ConvertAllLateBirths();
// Whether there may be any, and of which classes; costs one load a class. At
// any time. Objects that new code makes of the latest version count as well:
// that they are no late births is seen only when they are complete.
bool HaveLateBirths();
std::vector<heap_internal::UpdatableClass*> ClassesWithLateBirths();

}  // namespace instar

#endif  // INSTAR_HEAP_INTERNAL_VERSION_CHANGE_H_
