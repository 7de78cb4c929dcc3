// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Eager conversion, by one thread or several.

#include <atomic>
#include <functional>
#include <mutex>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/no_allocation.h"
#include "base/status_macros.h"
#include "heap/internal/conversion_watch.h"
#include "heap/internal/slab.h"
#include "heap/internal/version_change.h"
#include "heap/internal/worker_threads.h"

namespace instar {
namespace {

using heap_internal::Arena;
using heap_internal::BringUpToDate;
using heap_internal::ForEachSlab;
using heap_internal::kNoObject;
using heap_internal::kVersionMask;
using heap_internal::Mark;
using heap_internal::Slab;
using heap_internal::SlotRun;
using heap_internal::TrackedObject;
using heap_internal::VersionRecord;

}  // namespace

absl::Status VersionChange::Explain(const void* object,
                                    const absl::Status& status) const {
  const AuthorsCode its_error;
  return absl::Status(
      status.code(),
      absl::StrFormat("converting %s: object %p, the %dth: %s", name_, object,
                      converted_ + 1, status.message()));
}

void VersionChange::Report(std::size_t more) {
  converted_ += more;
  if (more == 0 || !options_.progress) return;
  const AuthorsCode progress;
  options_.progress(converted_);
}

// One step of the chain, for all objects in slabs.
absl::Status VersionChange::ConvertRun(const VersionRecord& to) {
  absl::Status status;
  ForEachSlab(root_, [&](Slab* slab) {
    if (!status.ok() || slab->slot_bytes < to.size || slab->IsEmpty()) return;
    SlotRun run;
    run.root = root_;
    run.slab = slab;
    run.watch = watch_;
    run.from = to.previous;
    run.to = &to;
    {
      const AuthorsCode convert;  // all it does beside is to mark the objects
      to.step->forward_run(run);
    }
    Report(run.converted);
    if (run.status.ok()) return;
    const AuthorsCode its_error;
    status = Explain(run.failed_object, std::exchange(run.status, {}));
  });
  return status;
}

absl::Status VersionChange::ConvertOutside() {
  outside_.Begin();
  while (outside_.Next(*root_, /*automatic=*/true)) {
    for (void* object : outside_.objects()) {
      INSTAR_RETURN_IF_ERROR(ConvertOne(object));
    }
  }
  return absl::OkStatus();
}

absl::Status VersionChange::ConvertOne(void* object) {
  const TrackedObject tracked = root_->Find(object);
  if (tracked.mark == nullptr) return absl::OkStatus();
  const Mark before = tracked.mark->load(std::memory_order_relaxed);
  absl::Status status = [&] {
    const AuthorsCode convert;
    return BringUpToDate(root_, object, tracked, true);
  }();
  if (!status.ok()) {
    const AuthorsCode its_error;
    return Explain(object, std::exchange(status, absl::OkStatus()));
  }
  const Mark after = tracked.mark->load(std::memory_order_relaxed);
  if ((before ^ after) & kVersionMask) Report(1);
  if (watch_->GoesOn()) return absl::OkStatus();
  const AuthorsCode its_error;
  return Explain(object, ConversionWatch::Stopped());
}

absl::Status VersionChange::ConvertInParallel() {
  // The arenas and slabs that are there now, handed out one by one.
  struct Cursor {
    std::mutex mutex;
    Arena* arena;
    Slab* slab;
    Slab* Next() {
      std::lock_guard<std::mutex> lock(mutex);
      while (slab == nullptr && arena != nullptr) {
        arena = arena->next_in_class;
        if (arena != nullptr) slab = arena->first_slab();
      }
      Slab* next = slab;
      if (slab != nullptr) slab = slab->next_in_class;
      return next;
    }
  } cursor;
  cursor.arena = root_->first_arena();
  cursor.slab = cursor.arena != nullptr ? cursor.arena->first_slab() : nullptr;
  std::mutex mutex;  // guards this change, and `first_error`
  absl::Status first_error;
  std::atomic<bool> failed{false};
  const auto convert = [&] {
    struct Ender {
      ~Ender() {
        if (!ends) return;
        std::lock_guard<std::mutex> lock(mutex);
        if (first_error.ok()) {
          first_error = absl::InternalError("Convert() ended its thread");
        }
        failed.store(true, std::memory_order_relaxed);
      }
      std::mutex& mutex;
      absl::Status& first_error;
      std::atomic<bool>& failed;
      bool ends = true;
    } ender{mutex, first_error, failed};
    while (Slab* slab = cursor.Next()) {
      std::size_t converted = 0;
      for (std::uint32_t i = 0; i < slab->slot_count; ++i) {
        std::atomic<Mark>& mark = slab->marks()[i];
        const Mark before = mark.load(std::memory_order_relaxed);
        if (before == kNoObject) continue;
        if (failed.load(std::memory_order_relaxed)) break;
        absl::Status status = BringUpToDate(
            root_, slab->slot(i), {&mark, slab->slot_bytes, false}, true);
        if (status.ok() && !watch_->GoesOn()) {
          status = ConversionWatch::Stopped();
        }
        if (!status.ok()) {
          std::lock_guard<std::mutex> lock(mutex);
          if (first_error.ok()) first_error = Explain(slab->slot(i), status);
          failed.store(true, std::memory_order_relaxed);
          break;
        }
        const Mark after = mark.load(std::memory_order_relaxed);
        converted += ((before ^ after) & kVersionMask) != 0;
      }
      std::lock_guard<std::mutex> lock(mutex);
      Report(converted);
    }
    ender.ends = false;
  };
  // By reference: it is too large to lie in a function without allocation.
  const std::function<void()> work = std::cref(convert);
  workers_->Run(&work);
  if (first_error.ok() && cursor.Next() != nullptr) {
    first_error = absl::InternalError("Convert() ended all worker threads");
  }
  return first_error;
}

absl::Status VersionChange::ConvertAll() {
  INSTAR_CHECK(in_use_) << "Install() comes first";
  root_->ForgetConversionsOfParent();
  if (workers_ != nullptr) {
    INSTAR_RETURN_IF_ERROR(ConvertInParallel());
  } else {
    // The chain from its beginning, for objects that missed a step.
    const VersionRecord* first = record_.get();
    while (first->previous->previous != nullptr) first = first->previous;
    for (const VersionRecord* to = first; to != nullptr;
         to = to->next.load(std::memory_order_relaxed)) {
      INSTAR_RETURN_IF_ERROR(ConvertRun(*to));
    }
  }
  return ConvertOutside();
}

}  // namespace instar
