// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/internal/version_change.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/fork_mutex.h"
#include "base/library_code.h"
#include "base/no_allocation.h"
#include "base/status_macros.h"
#include "heap/internal/conversion_watch.h"
#include "heap/internal/slab.h"
#include "heap/internal/worker_threads.h"

namespace instar {
namespace {

using heap_internal::ForEachSlab;
using heap_internal::FreeVersionNumber;
using heap_internal::IsLost;
using heap_internal::kBorn;
using heap_internal::kBusy;
using heap_internal::kDying;
using heap_internal::kEpochMask;
using heap_internal::kFirstVersion;
using heap_internal::kLastVersion;
using heap_internal::kNoObject;
using heap_internal::kVersionMask;
using heap_internal::Mark;
using heap_internal::NameOf;
using heap_internal::NextVersion;
using heap_internal::RecordOf;
using heap_internal::RecordOfType;
using heap_internal::Slab;
using heap_internal::UpdatableClass;
using heap_internal::VersionRecord;
using heap_internal::VirtualTableOf;
using heap_internal::WorkerThreads;

void Enter(UpdatableClass* root, VersionRecord* record) {
  root->versions[record->number].store(record, std::memory_order_release);
  if (record->number > root->highest_version.load(std::memory_order_relaxed)) {
    root->highest_version.store(record->number, std::memory_order_release);
  }
}

// Records that were in use and are not any more. They stay for as long as the
// process: whoever counts objects, or follows a mark, may have one in its hands
// and takes no lock, since a thread that is held could own that.
void Retire(std::unique_ptr<VersionRecord> record) {
  static ForkGuarded<std::vector<std::unique_ptr<VersionRecord>>> retired;
  retired.Lock()->push_back(std::move(record));
}

// Whether a version is installed to which ConvertLateBirths() takes objects.
bool NoticesBirths(const UpdatableClass& root) {
  for (unsigned number = kFirstVersion; number <= kLastVersion; ++number) {
    const VersionRecord* record =
        root.versions[number].load(std::memory_order_relaxed);
    if (record != nullptr && record->previous != nullptr &&
        !record->at_first_access) {
      return true;
    }
  }
  return false;
}

}  // namespace

VersionChange::VersionChange(const NextVersion& next, ConversionOptions options)
    : next_(next),
      options_(std::move(options)),
      root_(next.root()),
      name_(absl::StrCat(NameOf(*next.old_type), " -> ",
                         NameOf(*next.new_type))) {}

VersionChange::~VersionChange() {
  if (in_use_) {
    record_.release();  // marks lead to it
  } else if (was_in_use_) {
    Retire(std::move(record_));
  }
}

absl::Status VersionChange::Prepare() {
  INSTAR_RETURN_IF_ERROR(Check().status());
  if (std::exchange(was_in_use_, false)) Retire(std::move(record_));
  record_ = std::make_unique<VersionRecord>();
  record_->step = &next_;
  record_->type = next_.new_type;
  record_->name = NameOf(*next_.new_type);
  record_->size = next_.new_size;
  old_record_ = std::make_unique<VersionRecord>();
  old_record_->type = next_.old_type;
  old_record_->name = NameOf(*next_.old_type);
  old_record_->size = next_.old_size;
  if (!outside_.Reserve(2 * root_->outside_count() + 64)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("there is no memory to convert ", name_));
  }
  came_first_ = absl::FailedPreconditionError(
      absl::StrCat("cannot convert ", name_,
                   ": another update came first; check and prepare again"));
  too_many_ = absl::ResourceExhaustedError(
      absl::StrCat("cannot convert ", name_, ": too many versions"));
  came_after_ = absl::FailedPreconditionError(
      absl::StrCat("cannot take back ", name_,
                   ": another version came after it; take that back first"));
  if (options_.threads > 1 && workers_ == nullptr) {
    INSTAR_ASSIGN_OR_RETURN(workers_, WorkerThreads::Start(options_.threads));
  }
  return absl::OkStatus();
}

absl::Status VersionChange::Install(Births births) {
  INSTAR_CHECK(record_ != nullptr && !in_use_) << "Prepare() comes first";
  root_->ForgetConversionsOfParent();
  std::lock_guard<std::mutex> lock(root_->versions_mutex);
  old_ = RecordOfType(root_, *next_.old_type);
  if (old_ != nullptr &&
      old_->next.load(std::memory_order_relaxed) != nullptr) {
    return came_first_;
  }
  const bool old_is_new_to_us = old_ == nullptr;
  if (old_is_new_to_us) {
    old_ = old_record_.get();
    old_->number = *next_.old_type == *root_->layout().type
                       ? kBorn
                       : FreeVersionNumber(root_, kFirstVersion);
  }
  const bool at_first_access = births == Births::kAtFirstAccess;
  if (was_in_use_) {
    // Others may read the record: it is entered again as it is, or not at all.
    if (record_->previous != old_ ||
        record_->at_first_access != at_first_access ||
        root_->versions[record_->number].load(std::memory_order_relaxed) !=
            nullptr) {
      return came_first_;
    }
  } else {
    record_->number = FreeVersionNumber(
        root_,
        std::max<Mark>(kFirstVersion, old_is_new_to_us ? old_->number + 1 : 0));
    if (record_->number == kNoObject || old_->number == kNoObject) {
      return too_many_;
    }
    // A record of Old stays for ever: marks may keep its number.
    if (old_is_new_to_us) Enter(root_, old_record_.release());
    record_->previous = old_;
    record_->at_first_access = at_first_access;
  }
  record_->next.store(nullptr, std::memory_order_relaxed);
  Enter(root_, record_.get());
  root_->sizes[record_->number].store(next_.new_size,
                                      std::memory_order_relaxed);
  root_->end_parts[record_->number].store(next_.end_parts,
                                          std::memory_order_release);
  old_->next.store(record_.get(), std::memory_order_release);
  root_->StartBirthEpoch(NoticesBirths(*root_));
  // Partner: the acquire in LazyProxy. Who sees the new generation sees the
  // new version.
  root_->generation.fetch_add(1, std::memory_order_release);
  in_use_ = was_in_use_ = true;
  converted_ = taken_back_ = 0;
  return absl::OkStatus();
}

void VersionChange::BringBack(void* object, std::atomic<Mark>& mark) {
  const Mark seen = mark.load(std::memory_order_acquire);
  if (seen == kNoObject || IsLost(seen)) return;
  INSTAR_CHECK(!(seen & kBusy))
      << name_ << " is taken back while a thread converts an object";
  Mark number = seen & kVersionMask;
  if (number == record_->number ||
      (number == kBorn &&
       RecordOf(root_, VirtualTableOf(object)) == record_.get())) {
    {
      const AuthorsCode convert_back;
      next_.back(object);
    }
    ++taken_back_;
    number = old_->number;
  }
  // Without kFailed: what failed is not wanted any more.
  mark.store((seen & (kEpochMask | kDying)) | number,
             std::memory_order_release);
}

absl::Status VersionChange::TakeBack() {
  if (!in_use_) return absl::OkStatus();
  root_->ForgetConversionsOfParent();
  std::lock_guard<std::mutex> lock(root_->versions_mutex);
  if (record_->next.load(std::memory_order_relaxed) != nullptr) {
    return came_after_;
  }
  taken_back_ = 0;
  // ConvertBack() of one object may use another through a proxy, which must
  // find no next version.
  old_->next.store(nullptr, std::memory_order_release);
  bool goes_on = true;
  ForEachSlab(root_, [&](Slab* slab) {
    if (slab->IsEmpty() || !goes_on) return;
    for (std::uint32_t i = 0; i < slab->slot_count && goes_on; ++i) {
      if (slab->marks()[i].load(std::memory_order_relaxed) != kNoObject) {
        BringBack(slab->slot(i), slab->marks()[i]);
        goes_on = watch_->GoesOn();
      }
    }
  });
  outside_.Begin();
  while (goes_on && outside_.Next(*root_, /*automatic=*/false)) {
    for (void* object : outside_.objects()) {
      if (!goes_on) break;
      if (std::atomic<Mark>* mark = root_->Find(object).mark) {
        BringBack(object, *mark);
        goes_on = watch_->GoesOn();
      }
    }
  }
  if (!goes_on) {
    old_->next.store(record_.get(), std::memory_order_release);
    const AuthorsCode its_error;
    return ConversionWatch::Stopped();
  }
  root_->versions[record_->number].store(nullptr, std::memory_order_release);
  root_->sizes[record_->number].store(0, std::memory_order_relaxed);
  root_->end_parts[record_->number].store(nullptr, std::memory_order_release);
  root_->StartBirthEpoch(NoticesBirths(*root_));
  root_->generation.fetch_add(1, std::memory_order_release);
  in_use_ = false;
  return absl::OkStatus();
}

std::vector<const std::type_info*> TypesOfVersions(UpdatableClass* root) {
  std::vector<const std::type_info*> types = {root->layout().type};
  const LibraryCode not_here;  // who installs a version waits for this lock
  std::lock_guard<std::mutex> lock(root->versions_mutex);
  for (unsigned number = kBorn; number <= kLastVersion; ++number) {
    const VersionRecord* record =
        root->versions[number].load(std::memory_order_acquire);
    if (record != nullptr && *record->type != *types.front()) {
      types.push_back(record->type);
    }
  }
  return types;
}

}  // namespace instar
