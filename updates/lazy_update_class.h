// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Converts each object of a class at its first access after the update, as an
// update function: lazy conversion of PyMoult (HotSWUP'13), section 2.3, as in
// Ginseng.
//
//   SetUpdateFunction(thread, LazyUpdateClass<Product, ProductV2>()).Trigger();
//
//   // All at once, from where the program is now:
//   absl::Status started = StartLazyUpdateClass<Product, ProductV2>();
//
//   // Lazily, and the others in the background:
//   ClassUpdate update = ProgressiveUpdateClass<Product, ProductV2>();
//   SetUpdateFunction(thread, update).Trigger();
//   ...
//   update.conversion().WaitUntilDone();
//
// The program uses such a class through proxies (heap/lazy_proxy.h), and keeps
// no reference to an object across a moment at which an update may be applied.
//
// The condition, which is asked at the moment at which the update takes effect,
// undo, threads and errors: updates/class_update.h. Within a plan:
// UpdatePlan::ConvertLazily() (updates/update_plan.h).

#ifndef INSTAR_UPDATES_LAZY_UPDATE_CLASS_H_
#define INSTAR_UPDATES_LAZY_UPDATE_CLASS_H_

#include <chrono>

#include "absl/status/status.h"
#include "heap/conversion.h"
#include "updates/class_update.h"

namespace instar {

template <typename Old, typename New>
ClassUpdate LazyUpdateClass(const UpdateClassOptions& options = {}) {
  return updates_internal::MakeClassUpdate<Old, New>(
      ConvertLazily<Old, New>(options.conversion), options);
}

template <typename Old, typename New>
ClassUpdate ProgressiveUpdateClass(const UpdateClassOptions& options = {}) {
  return updates_internal::MakeClassUpdate<Old, New>(
      ConvertProgressively<Old, New>(options.conversion), options);
}

// The paper's start_lazy_update_class(): a LazyUpdateClass() that is applied by
// the calling thread, which is not inside the class either; it waits up to
// `limit` for a moment when that is possible. For good: it cannot be undone.
// DeadlineExceeded names what was in the way; nothing has changed then.
template <typename Old, typename New>
absl::Status StartLazyUpdateClass(
    const UpdateClassOptions& options = {},
    std::chrono::nanoseconds limit = std::chrono::seconds(5)) {
  return updates_internal::ApplyWithin(LazyUpdateClass<Old, New>(options),
                                       limit);
}

}  // namespace instar

#endif  // INSTAR_UPDATES_LAZY_UPDATE_CLASS_H_
