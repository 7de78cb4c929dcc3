// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/weak_object_pool.h"

#include <algorithm>
#include <atomic>
#include <map>

#include "heap/internal/slab.h"
#include "heap/internal/version_record.h"

namespace instar {
namespace {

using heap_internal::kBorn;
using heap_internal::kBusy;
using heap_internal::kFailed;
using heap_internal::kNoObject;
using heap_internal::kVersionMask;
using heap_internal::Mark;
using heap_internal::OutsideObject;
using heap_internal::RecordOf;
using heap_internal::Slab;
using heap_internal::TypeOf;
using heap_internal::UpdatableClass;
using heap_internal::VersionRecord;
using heap_internal::VirtualTableOf;

constexpr Mark kVersions = 256;

// Acquire, partner: the release after a conversion. Who sees the number of a
// version finds its virtual table. A birth is not ordered: on any processor the
// virtual table may then be that of the object that the slot had before.
Mark MarkOf(const std::atomic<Mark>& mark) {
  return mark.load(std::memory_order_acquire);
}

// Acquire, partner: the release where the record is entered, complete.
const VersionRecord* VersionOf(const UpdatableClass* root, Mark number) {
  return root->versions[number].load(std::memory_order_acquire);
}

// Sorts objects into the figures of ObjectCounts.
class Counter {
 public:
  explicit Counter(UpdatableClass* root) : root_(root) {
    counts_.class_name = root->name();
    for (Mark number = kBorn; number < kVersions; ++number) {
      at_first_[number] = VersionOf(root, number);
    }
  }

  void Add(const void* object, Mark mark) {
    if (mark & kBusy) {
      ++counts_.being_converted;
      return;
    }
    if (mark & kFailed) ++counts_.failed;
    const Mark number = mark & kVersionMask;
    if (number != kBorn) {
      ++by_number_[number];
      return;
    }
    // Most neighbours are of one class.
    const void* table = VirtualTableOf(object);
    if (table != last_table_) {
      last_table_ = table;
      last_ = &by_table_[table];
    }
    ++*last_;
  }

  ObjectCounts Finish() {
    std::size_t born = 0;
    std::map<std::string, std::size_t> subclasses;
    for (const auto& [table, count] : by_table_) {
      const VersionRecord* record = RecordOf(root_, table);
      const std::type_info* type = TypeOf(table);
      if (record != nullptr) {
        by_number_[record->number] += count;
      } else if (type == nullptr || *type == *root_->layout().type) {
        born += count;
      } else {
        subclasses[heap_internal::NameOf(*type)] += count;
      }
    }
    if (VersionOf(root_, kBorn) == nullptr) {
      counts_.by_version.emplace_back(root_->name(), born);
    }
    for (Mark number = kBorn; number < kVersions; ++number) {
      // One that has been taken back since had objects, and they had that.
      const VersionRecord* record = VersionOf(root_, number);
      if (record == nullptr && by_number_[number] > 0) {
        record = at_first_[number];
      }
      if (record != nullptr) {
        counts_.by_version.emplace_back(record->name, by_number_[number]);
      } else {  // it has come and gone
        counts_.being_converted += by_number_[number];
      }
    }
    counts_.subclasses.assign(subclasses.begin(), subclasses.end());
    counts_.untracked =
        static_cast<std::size_t>(std::max<std::int64_t>(0, root_->untracked()));
    return std::move(counts_);
  }

  ObjectCounts& counts() { return counts_; }

 private:
  UpdatableClass* const root_;
  ObjectCounts counts_;
  // Records live as long as the process.
  const VersionRecord* at_first_[kVersions] = {};
  std::size_t by_number_[kVersions] = {};
  std::map<const void*, std::size_t> by_table_;
  const void* last_table_ = nullptr;
  std::size_t* last_ = nullptr;
};

// Whether objects with this virtual table are of class `type` or of a later
// version of it.
bool IsVersionOf(UpdatableClass* root, const void* table,
                 const std::type_info& type) {
  const std::type_info* dynamic = TypeOf(table);
  if (dynamic == nullptr) return false;
  if (*dynamic == type) return true;
  const VersionRecord* record = RecordOf(root, table);
  for (; record != nullptr; record = record->previous) {
    if (*record->type == type) return true;
  }
  return false;
}

}  // namespace

std::size_t ObjectCounts::Total() const {
  std::size_t total = being_converted + untracked;
  for (const auto& [name, count] : by_version) total += count;
  for (const auto& [name, count] : subclasses) total += count;
  return total;
}

std::size_t ObjectCounts::OfVersion(const std::string& name) const {
  std::size_t total = 0;
  for (const auto& [version, count] : by_version) {
    if (version == name) total += count;
  }
  return total;
}

std::vector<ObjectCounts> CountAllObjects() {
  std::vector<ObjectCounts> all;
  for (UpdatableClass* root : UpdatableClass::All()) {
    all.push_back(heap_internal::CountObjects(root));
  }
  return all;
}

namespace heap_internal {

ObjectCounts CountObjects(UpdatableClass* root) {
  Counter counter(root);
  ForEachSlab(root, [&](Slab* s) {
    for (std::uint32_t i = 0; i < s->slot_count; ++i) {
      const Mark mark = MarkOf(s->marks()[i]);
      if (mark != kNoObject) counter.Add(s->slot(i), mark);
    }
  });
  root->ForEachOutside([&](void* object, OutsideObject& entry) {
    counter.Add(object, MarkOf(entry.mark));
    if (entry.capacity == 0) ++counter.counts().outside;
    if (entry.automatic) ++counter.counts().automatic;
  });
  return counter.Finish();
}

void VisitObjects(UpdatableClass* root, const std::type_info& type,
                  absl::FunctionRef<void(void*)> visit) {
  const void* wanted = nullptr;
  const void* unwanted = nullptr;
  const auto visit_one = [&](void* object) {
    const void* table = VirtualTableOf(object);
    if (table == unwanted) return;
    if (table != wanted) {
      if (!IsVersionOf(root, table, type)) {
        unwanted = table;
        return;
      }
      wanted = table;
    }
    visit(object);
  };
  ForEachSlab(root, [&](Slab* s) {
    for (std::uint32_t i = 0; i < s->slot_count; ++i) {
      if (MarkOf(s->marks()[i]) != kNoObject) visit_one(s->slot(i));
    }
  });
  std::vector<void*> outside;
  root->ForEachOutside(
      [&](void* object, OutsideObject&) { outside.push_back(object); });
  for (void* object : outside) {
    // The visitor may have destroyed it.
    if (root->FindOutside(object) != nullptr) visit_one(object);
  }
}

}  // namespace heap_internal
}  // namespace instar
