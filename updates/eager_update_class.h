// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Converts all objects of a class at one moment, as an update function: eager
// conversion of PyMoult (HotSWUP'13), section 2.3, as in DynamicML.
//
//   SetUpdateFunction(thread, EagerUpdateClass<Site, SiteV2>()).Trigger();
//
//   // The program's main loop takes the class, and keeps none of its state:
//   UpdateClassOptions options;
//   options.functions.leave_out = {"Main(Site&)"};
//   SetUpdateFunction(thread, EagerUpdateClass<Site, SiteV2>(options))
//       .Trigger();
//
// The condition, undo, threads and errors: updates/class_update.h. Within a
// plan: UpdatePlan::ConvertEagerly() (updates/update_plan.h).
//
// Objects that old code makes afterwards are old ones until
// updates/late_births.h converts them.

#ifndef INSTAR_UPDATES_EAGER_UPDATE_CLASS_H_
#define INSTAR_UPDATES_EAGER_UPDATE_CLASS_H_

#include "heap/conversion.h"
#include "updates/class_update.h"

namespace instar {

template <typename Old, typename New>
ClassUpdate EagerUpdateClass(const UpdateClassOptions& options = {}) {
  return updates_internal::MakeClassUpdate<Old, New>(
      ConvertEagerly<Old, New>(options.conversion), options);
}

}  // namespace instar

#endif  // INSTAR_UPDATES_EAGER_UPDATE_CLASS_H_
