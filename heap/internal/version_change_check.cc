// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether a change can be done, and what it will meet.

#include <cxxabi.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/linker_gate.h"
#include "heap/internal/slab.h"
#include "heap/internal/version_change.h"

namespace instar {
namespace {

using heap_internal::Arena;
using heap_internal::ClassLayout;
using heap_internal::ForEachSlab;
using heap_internal::FreeVersionNumber;
using heap_internal::kBorn;
using heap_internal::kFirstVersion;
using heap_internal::kNoObject;
using heap_internal::kVersionMask;
using heap_internal::Mark;
using heap_internal::NameOf;
using heap_internal::OutsideObject;
using heap_internal::RecordOf;
using heap_internal::RecordOfType;
using heap_internal::Slab;
using heap_internal::SlabOf;
using heap_internal::TypeOf;
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
  const LinkerGate gate;
  if (dladdr(object, &info) != 0) {
    if (info.dli_sname != nullptr) {
      return absl::StrCat("the variable ", info.dli_sname);
    }
    return absl::StrCat("a static variable in ", info.dli_fname);
  }
  return "made by std::make_shared, or a part of another object, of an array "
         "or "
         "of a container";
}

std::string LayoutText(const ClassLayout& layout) {
  return absl::StrFormat("%d bytes aligned to %d with %d bytes of room",
                         layout.size, layout.alignment, layout.room);
}

}  // namespace

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
  if (next_.end_parts == nullptr && HasVirtualBase(*next_.old_type)) {
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
  if (FreeVersionNumber(root_, kFirstVersion + 1) == kNoObject) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "cannot convert ", name_, ": ", root_->name(), " has 254 versions"));
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
                     next_.new_size - next_.old_size,
                     " bytes more (one made by std::make_shared has none: "
                     "write std::shared_ptr<T>(new T))"));
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
  if (next_.old_is_copied_or_moved) {
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

}  // namespace instar
