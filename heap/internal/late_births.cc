// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Objects that old code makes after an update.

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "base/no_allocation.h"
#include "heap/internal/conversion_watch.h"
#include "heap/internal/outside_objects.h"
#include "heap/internal/slab.h"
#include "heap/internal/version_change.h"

namespace instar {
namespace {

using heap_internal::BringUpToDate;
using heap_internal::ForEachSlab;
using heap_internal::kEpochMask;
using heap_internal::kNoObject;
using heap_internal::Mark;
using heap_internal::OutsideObjects;
using heap_internal::RecordOf;
using heap_internal::Slab;
using heap_internal::TrackedObject;
using heap_internal::UpdatableClass;
using heap_internal::VersionRecord;

}  // namespace

absl::Status ConvertLateBirths(UpdatableClass* root, ConversionWatch* watch) {
  if (!root->late_births()) return absl::OkStatus();
  const Mark since = root->late_since();
  root->ClearLateBirths();
  absl::Status first_error;
  const auto convert = [&](void* object, const TrackedObject& tracked) {
    if (tracked.mark == nullptr) return;
    const AuthorsCode convert;
    if (watch != nullptr && watch->is_stopped()) {
      first_error = ConversionWatch::Stopped();
      return;
    }
    const Mark mark = tracked.mark->load(std::memory_order_acquire);
    // What is older waits for a proxy or for a sweep. (Another update may have
    // begun a later epoch since the birth.)
    if ((mark & kEpochMask) < since) return;
    const VersionRecord* record = RecordOf(root, object, mark);
    if (record == nullptr) return;
    const VersionRecord* next = record->next.load(std::memory_order_acquire);
    if (next == nullptr || next->at_first_access) return;
    absl::Status status = BringUpToDate(root, object, tracked, true);
    if (watch != nullptr) watch->GoesOn();
    if (!status.ok() && first_error.ok()) first_error = std::move(status);
  };
  ForEachSlab(root, [&](Slab* slab) {
    if (!slab->late_births.exchange(false, std::memory_order_relaxed)) return;
    for (std::uint32_t i = 0; i < slab->slot_count; ++i) {
      std::atomic<Mark>& mark = slab->marks()[i];
      if (mark.load(std::memory_order_relaxed) == kNoObject) continue;
      convert(slab->slot(i), {&mark, slab->slot_bytes, false});
    }
  });
  OutsideObjects outside;
  while (outside.Next(*root, /*automatic=*/true)) {
    for (void* object : outside.objects()) convert(object, root->Find(object));
  }
  return first_error;
}

absl::Status ConvertAllLateBirths() {
  absl::Status first_error;
  for (UpdatableClass* root : UpdatableClass::All()) {
    absl::Status status = ConvertLateBirths(root);
    if (!status.ok() && first_error.ok()) first_error = std::move(status);
  }
  return first_error;
}

std::vector<UpdatableClass*> ClassesWithLateBirths() {
  std::vector<UpdatableClass*> classes = UpdatableClass::All();
  classes.erase(
      std::remove_if(classes.begin(), classes.end(),
                     [](UpdatableClass* root) { return !root->late_births(); }),
      classes.end());
  return classes;
}

bool HaveLateBirths() { return !ClassesWithLateBirths().empty(); }

}  // namespace instar
