// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/version_change.h"

#include <cxxabi.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "heap/slab.h"

namespace instar {
namespace {

using heap_internal::Arena;
using heap_internal::BringUpToDate;
using heap_internal::ClassLayout;
using heap_internal::Fits;
using heap_internal::kBorn;
using heap_internal::kBusy;
using heap_internal::kDying;
using heap_internal::kEpochMask;
using heap_internal::kFailed;
using heap_internal::kFirstVersion;
using heap_internal::kLastVersion;
using heap_internal::kNoObject;
using heap_internal::kVersionMask;
using heap_internal::Mark;
using heap_internal::NameOf;
using heap_internal::NextVersion;
using heap_internal::OutsideObject;
using heap_internal::RecordOf;
using heap_internal::Slab;
using heap_internal::SlabOf;
using heap_internal::SlotRun;
using heap_internal::TypeOf;
using heap_internal::UpdatableClass;
using heap_internal::VersionRecord;
using heap_internal::VirtualTableOf;

constexpr std::size_t kNamedOfAKind = 5;

// Itanium C++ ABI, section 2.9.5: the bases that a class's type_info lists.
bool HasVirtualBase(const std::type_info& type) {
  if (const auto* single =
          dynamic_cast<const abi::__si_class_type_info*>(&type)) {
    return HasVirtualBase(*single->__base_type);
  }
  if (const auto* several =
          dynamic_cast<const abi::__vmi_class_type_info*>(&type)) {
    for (unsigned i = 0; i < several->__base_count; ++i) {
      const abi::__base_class_type_info& base = several->__base_info[i];
      if (base.__is_virtual_p() || HasVirtualBase(*base.__base_type)) {
        return true;
      }
    }
  }
  return false;
}

// Where an object is that `new` did not make, in words.
std::string Whereabouts(const void* object) {
  if (Slab* slab = SlabOf(object)) {
    return absl::StrCat("a part of an object of ", slab->owner_class->name());
  }
  Dl_info info;
  if (dladdr(object, &info) != 0) {
    if (info.dli_sname != nullptr) {
      return absl::StrCat("the variable ", info.dli_sname);
    }
    return absl::StrCat("a static variable in ", info.dli_fname);
  }
  return "a part of another object, of an array or of a container";
}

template <typename Function>
void ForEachSlab(UpdatableClass* root, Function function) {
  for (Arena* a = root->first_arena(); a != nullptr; a = a->next_in_class) {
    for (Slab* s = a->first_slab(); s != nullptr; s = s->next_in_class) {
      function(s);
    }
  }
}

std::string LayoutText(const ClassLayout& layout) {
  return absl::StrFormat("%d bytes aligned to %d with %d bytes of room",
                         layout.size, layout.alignment, layout.room);
}

// The record of a class that is a version of `root`, by its type.
VersionRecord* RecordOfType(UpdatableClass* root, const std::type_info& type) {
  const Mark highest = root->highest_version.load(std::memory_order_acquire);
  for (Mark number = kBorn; number <= highest; ++number) {
    VersionRecord* record =
        root->versions[number].load(std::memory_order_acquire);
    if (record != nullptr && *record->type == type) return record;
  }
  return nullptr;
}

Mark FreeNumber(UpdatableClass* root, Mark from) {
  for (Mark number = from; number <= kLastVersion; ++number) {
    if (root->versions[number].load(std::memory_order_relaxed) == nullptr) {
      return number;
    }
  }
  return kNoObject;
}

void Enter(UpdatableClass* root, VersionRecord* record) {
  root->versions[record->number].store(record, std::memory_order_release);
  if (record->number > root->highest_version.load(std::memory_order_relaxed)) {
    root->highest_version.store(record->number, std::memory_order_release);
  }
}

}  // namespace

// Threads that were started beforehand and wait for Run().
class VersionChange::Workers {
 public:
  explicit Workers(int count) {
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this] { Loop(); });
    }
  }
  ~Workers() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      end_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // Runs `work` in every thread; returns when all are through.
  void Run(const std::function<void()>* work) {
    std::unique_lock<std::mutex> lock(mutex_);
    work_ = work;
    ++round_;
    running_ = threads_.size();
    wake_.notify_all();
    done_.wait(lock, [this] { return running_ == 0; });
  }

 private:
  void Loop() {
    std::unique_lock<std::mutex> lock(mutex_);
    std::size_t seen = 0;
    while (true) {
      wake_.wait(lock, [&] { return end_ || round_ != seen; });
      if (end_) return;
      seen = round_;
      const std::function<void()>* work = work_;
      lock.unlock();
      (*work)();
      lock.lock();
      if (--running_ == 0) done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void()>* work_ = nullptr;
  std::size_t round_ = 0, running_ = 0;
  bool end_ = false;
  std::vector<std::thread> threads_;
};

VersionChange::VersionChange(const NextVersion& next, ConversionOptions options)
    : next_(next),
      options_(std::move(options)),
      root_(next.root()),
      name_(absl::StrCat(NameOf(*next.old_type), " -> ",
                         NameOf(*next.new_type))) {}

VersionChange::~VersionChange() {
  // Marks lead to the record.
  if (in_use_) record_.release();
}

absl::StatusOr<ConversionForecast> VersionChange::Check() const {
  const auto refuse = [this](const auto&... parts) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot convert ", name_, ": ", parts...));
  };
  const ClassLayout& layout = root_->layout();
  const ClassLayout& expected = next_.root_layout;
  if (layout.size != expected.size || layout.alignment != expected.alignment ||
      layout.room != expected.room) {
    return refuse("the update was compiled for another layout of ",
                  root_->name(), ": ", LayoutText(expected),
                  ", but the program has ", LayoutText(layout),
                  "; rebuild the update against the sources of the program");
  }
  if (root_->has_other_layout()) {
    return refuse("two layouts of ", root_->name(),
                  " are in this program; rebuild the update against the "
                  "sources of the program");
  }
  if (HasVirtualBase(*next_.old_type)) {
    return refuse(NameOf(*next_.old_type),
                  " has a virtual base, which has another place in each class");
  }
  VersionRecord* old = RecordOfType(root_, *next_.old_type);
  if (old != nullptr && old->size != next_.old_size) {
    return refuse("the update takes ", NameOf(*next_.old_type), " to have ",
                  next_.old_size, " bytes, but the program has ", old->size);
  }
  if (old != nullptr && old->next.load() != nullptr) {
    return refuse(old->name,
                  " has a next version already: ", old->next.load()->name,
                  "; convert from that");
  }
  if (RecordOfType(root_, *next_.new_type) != nullptr) {
    return refuse(NameOf(*next_.new_type), " is a version already");
  }
  if (FreeNumber(root_, kFirstVersion + 1) == kNoObject) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "cannot convert ", name_, ": ", root_->name(), " has 253 versions"));
  }

  ConversionForecast forecast;
  std::map<std::string, std::size_t> subclasses;
  std::vector<std::string> stuck;
  std::size_t short_of_room = 0, misaligned = 0;
  const void* last_table = nullptr;
  bool last_concerned = false;
  // Whether the object is one that will be converted.
  const auto is_concerned = [&](const void* object, Mark mark) {
    const Mark number = mark & kVersionMask;
    const void* table = VirtualTableOf(object);
    if (number == kBorn && table == last_table) return last_concerned;
    const VersionRecord* record = RecordOf(root_, object, mark);
    const std::type_info* type =
        record != nullptr ? record->type : TypeOf(table);
    bool concerned = type != nullptr && *type == *next_.old_type;
    for (; record != nullptr && !concerned;
         record = record->next.load(std::memory_order_acquire)) {
      concerned = record == old;
    }
    if (number == kBorn) {
      last_table = table;
      last_concerned = concerned;
    }
    return concerned;
  };
  const auto note_subclass = [&](const void* object, Mark mark) {
    if (RecordOf(root_, object, mark) != nullptr) return;
    const std::type_info* type = TypeOf(VirtualTableOf(object));
    if (type == nullptr || *type == *layout.type) return;
    ++forecast.of_subclasses;
    ++subclasses[NameOf(*type)];
  };
  ForEachSlab(root_, [&](Slab* slab) {
    const bool fits = slab->slot_bytes >= next_.new_size;
    const bool aligned =
        slab->arena->slot_alignment() % next_.new_alignment == 0;
    for (std::uint32_t i = 0; i < slab->slot_count; ++i) {
      const Mark mark = slab->marks()[i].load(std::memory_order_acquire);
      if (mark == kNoObject) continue;
      ++forecast.objects;
      if (is_concerned(slab->slot(i), mark)) {
        if (!fits) ++short_of_room;
        if (fits && !aligned) ++misaligned;
      } else {
        note_subclass(slab->slot(i), mark);
      }
    }
  });
  root_->ForEachOutside([&](void* object, OutsideObject& entry) {
    const Mark mark = entry.mark.load(std::memory_order_acquire);
    ++forecast.objects;
    if (!is_concerned(object, mark)) {
      note_subclass(object, mark);
      return;
    }
    if (entry.automatic) {
      ++forecast.automatic;
      return;
    }
    const std::size_t capacity =
        entry.capacity != 0 ? entry.capacity : next_.old_size;
    if (capacity >= next_.new_size &&
        reinterpret_cast<std::uintptr_t>(object) % next_.new_alignment == 0) {
      return;
    }
    ++forecast.cannot_grow;
    if (stuck.size() < kNamedOfAKind) {
      stuck.push_back(absl::StrFormat("%p is %s", object, Whereabouts(object)));
    }
  });
  // New objects will be made in these slots too, even if there is none yet.
  if (Arena* arena = root_->main_arena();
      arena != nullptr && *next_.old_type == *layout.type) {
    short_of_room += arena->slot_bytes() < next_.new_size;
    misaligned += arena->slot_alignment() % next_.new_alignment != 0;
  }
  if (short_of_room > 0) {
    return refuse(NameOf(*next_.new_type), " has ", next_.new_size, " bytes, ",
                  next_.old_size,
                  " of them its last version's, "
                  "and the slots have ",
                  layout.room,
                  " bytes of room; keep new state behind one pointer");
  }
  if (misaligned > 0) {
    return refuse(NameOf(*next_.new_type), " must be aligned to ",
                  next_.new_alignment, " bytes, and the slots are not");
  }
  const auto untracked =
      static_cast<std::size_t>(std::max<std::int64_t>(0, root_->untracked()));
  if (forecast.cannot_grow > 0) {
    forecast.remarks.push_back(
        absl::StrCat(forecast.cannot_grow,
                     " objects were not made by `new` and have no "
                     "room for the ",
                     next_.new_size - next_.old_size, " bytes more"));
    for (std::string& name : stuck) forecast.remarks.push_back(std::move(name));
  }
  if (untracked > 0) {
    forecast.cannot_grow += untracked;
    forecast.remarks.push_back(absl::StrCat(
        untracked, " objects could not be tracked for want of memory"));
  }
  if (forecast.automatic > 0) {
    forecast.remarks.push_back(
        absl::StrCat(forecast.automatic,
                     " objects are local variables and keep their version"));
  }
  for (const auto& [name, count] : subclasses) {
    forecast.remarks.push_back(
        absl::StrCat(count, " objects are of the subclass ", name,
                     ", which this conversion leaves alone"));
  }
  if (next_.old_is_copyable) {
    forecast.remarks.push_back(absl::StrCat(
        "code that was compiled before copies, moves and assigns only the part "
        "of an object that is ",
        NameOf(*next_.old_type), "; hold such objects by pointer"));
  }
  if (forecast.cannot_grow > 0 && !options_.leave_what_cannot_grow) {
    std::string text;
    for (const std::string& remark : forecast.remarks) {
      absl::StrAppend(&text, text.empty() ? "" : "; ", remark);
    }
    return refuse(text);
  }
  return forecast;
}

absl::Status VersionChange::Prepare() {
  INSTAR_RETURN_IF_ERROR(Check().status());
  record_ = std::make_unique<VersionRecord>();
  record_->step = &next_;
  record_->type = next_.new_type;
  record_->name = NameOf(*next_.new_type);
  record_->size = next_.new_size;
  old_record_ = std::make_unique<VersionRecord>();
  old_record_->type = next_.old_type;
  old_record_->name = NameOf(*next_.old_type);
  old_record_->size = next_.old_size;
  outside_.reserve(2 * root_->outside_count() + 64);
  if (options_.threads > 1 && workers_ == nullptr) {
    workers_ = std::make_unique<Workers>(options_.threads);
  }
  return absl::OkStatus();
}

absl::Status VersionChange::Install(Births births) {
  INSTAR_CHECK(record_ != nullptr && !in_use_) << "Prepare() comes first";
  std::lock_guard<std::mutex> lock(root_->versions_mutex);
  old_ = RecordOfType(root_, *next_.old_type);
  if (old_ != nullptr &&
      old_->next.load(std::memory_order_relaxed) != nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot convert ", name_,
                     ": another update came first; check and prepare again"));
  }
  const bool old_is_new_to_us = old_ == nullptr;
  if (old_is_new_to_us) {
    old_ = old_record_.get();
    old_->number = *next_.old_type == *root_->layout().type
                       ? kBorn
                       : FreeNumber(root_, kFirstVersion);
  }
  record_->number = FreeNumber(
      root_,
      std::max<Mark>(kFirstVersion, old_is_new_to_us ? old_->number + 1 : 0));
  if (record_->number == kNoObject || old_->number == kNoObject) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot convert ", name_, ": too many versions"));
  }
  // A record of Old stays for ever: marks may keep its number.
  if (old_is_new_to_us) Enter(root_, old_record_.release());
  record_->previous = old_;
  record_->at_first_access = births == Births::kAtFirstAccess;
  record_->next.store(nullptr, std::memory_order_relaxed);
  Enter(root_, record_.get());
  old_->next.store(record_.get(), std::memory_order_release);
  root_->StartBirthEpoch(/*notice=*/true);
  // Partner: the acquire in LazyProxy. Who sees the new generation sees the
  // new version.
  root_->generation.fetch_add(1, std::memory_order_release);
  in_use_ = true;
  converted_ = taken_back_ = 0;
  return absl::OkStatus();
}

absl::Status VersionChange::Explain(const void* object,
                                    const absl::Status& status) const {
  return absl::Status(
      status.code(),
      absl::StrFormat("converting %s: object %p, the %dth: %s", name_, object,
                      converted_ + 1, status.message()));
}

void VersionChange::Report(std::size_t more) {
  converted_ += more;
  if (more > 0 && options_.progress) options_.progress(converted_);
}

// One step of the chain, for all objects in slabs.
absl::Status VersionChange::ConvertRun(const VersionRecord& to) {
  absl::Status status;
  ForEachSlab(root_, [&](Slab* slab) {
    if (!status.ok() || slab->slot_bytes < to.size) return;
    SlotRun run;
    run.root = root_;
    run.slab = slab;
    run.from = to.previous;
    run.to = &to;
    to.step->forward_run(run);
    Report(run.converted);
    if (!run.status.ok()) status = Explain(run.failed_object, run.status);
  });
  return status;
}

absl::Status VersionChange::ConvertOutside() {
  outside_.clear();
  root_->ForEachOutside(
      [&](void* object, OutsideObject&) { outside_.push_back(object); });
  for (void* object : outside_) {
    const heap_internal::TrackedObject tracked = root_->Find(object);
    if (tracked.mark == nullptr) continue;
    const Mark before = tracked.mark->load(std::memory_order_relaxed);
    const absl::Status status = BringUpToDate(root_, object, tracked, true);
    if (!status.ok()) return Explain(object, status);
    const Mark after = tracked.mark->load(std::memory_order_relaxed);
    if ((before ^ after) & kVersionMask) Report(1);
  }
  return absl::OkStatus();
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
  const std::function<void()> work = [&] {
    while (Slab* slab = cursor.Next()) {
      std::size_t converted = 0;
      for (std::uint32_t i = 0; i < slab->slot_count; ++i) {
        std::atomic<Mark>& mark = slab->marks()[i];
        const Mark before = mark.load(std::memory_order_relaxed);
        if (before == kNoObject) continue;
        if (failed.load(std::memory_order_relaxed)) break;
        const absl::Status status = BringUpToDate(
            root_, slab->slot(i), {&mark, slab->slot_bytes, false}, true);
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
  };
  workers_->Run(&work);
  return first_error;
}

absl::Status VersionChange::ConvertAll() {
  INSTAR_CHECK(in_use_) << "Install() comes first";
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

void VersionChange::BringBack(void* object, std::atomic<Mark>& mark) {
  const Mark seen = mark.load(std::memory_order_acquire);
  if (seen == kNoObject) return;
  INSTAR_CHECK(!(seen & kBusy))
      << name_ << " is taken back while a thread converts an object";
  const Mark number = seen & kVersionMask;
  Mark now = seen & kVersionMask;
  if (number == record_->number ||
      ((number == kBorn || number == kDying) &&
       RecordOf(root_, VirtualTableOf(object)) == record_.get())) {
    next_.back(object);
    ++taken_back_;
    now = number == kDying ? kDying : old_->number;
  }
  // Without kFailed: what failed is not wanted any more.
  mark.store((seen & kEpochMask) | now, std::memory_order_release);
}

absl::Status VersionChange::TakeBack() {
  if (!in_use_) return absl::OkStatus();
  std::lock_guard<std::mutex> lock(root_->versions_mutex);
  if (const VersionRecord* later =
          record_->next.load(std::memory_order_relaxed)) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot take back ", name_, ": ", later->name,
                     " came after it; take that back first"));
  }
  taken_back_ = 0;
  // ConvertBack() of one object may use another through a proxy, which must
  // find no next version.
  old_->next.store(nullptr, std::memory_order_release);
  ForEachSlab(root_, [&](Slab* slab) {
    for (std::uint32_t i = 0; i < slab->slot_count; ++i) {
      if (slab->marks()[i].load(std::memory_order_relaxed) != kNoObject) {
        BringBack(slab->slot(i), slab->marks()[i]);
      }
    }
  });
  outside_.clear();
  root_->ForEachOutside([&](void* object, OutsideObject& entry) {
    if (!entry.automatic) outside_.push_back(object);
  });
  for (void* object : outside_) {
    if (std::atomic<Mark>* mark = root_->Find(object).mark) {
      BringBack(object, *mark);
    }
  }
  root_->versions[record_->number].store(nullptr, std::memory_order_release);
  bool notice = false;
  for (Mark number = kFirstVersion; number <= kLastVersion; ++number) {
    notice |=
        root_->versions[number].load(std::memory_order_relaxed) != nullptr;
  }
  root_->StartBirthEpoch(notice);
  root_->generation.fetch_add(1, std::memory_order_release);
  in_use_ = false;
  return absl::OkStatus();
}

absl::Status ConvertLateBirths(UpdatableClass* root) {
  if (!root->late_births()) return absl::OkStatus();
  root->ClearLateBirths();
  absl::Status first_error;
  const auto convert = [&](void* object,
                           const heap_internal::TrackedObject& tracked) {
    if (tracked.mark == nullptr) return;
    const Mark mark = tracked.mark->load(std::memory_order_acquire);
    if ((mark & kEpochMask) != root->epoch_bits()) return;
    const VersionRecord* record = RecordOf(root, object, mark);
    if (record == nullptr) return;
    const VersionRecord* next = record->next.load(std::memory_order_acquire);
    if (next == nullptr || next->at_first_access) return;
    absl::Status status = BringUpToDate(root, object, tracked, true);
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
  std::vector<void*> outside;
  root->ForEachOutside(
      [&](void* object, OutsideObject&) { outside.push_back(object); });
  for (void* object : outside) convert(object, root->Find(object));
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

bool HaveLateBirths() {
  for (UpdatableClass* root : UpdatableClass::All()) {
    if (root->late_births()) return true;
  }
  return false;
}

}  // namespace instar
