// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/appended_member.h"

#include <atomic>
#include <exception>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/forced_unwind.h"
#include "heap/internal/slab.h"
#include "heap/internal/version_record.h"

namespace instar {

using heap_internal::Arena;
using heap_internal::ForEachSlab;
using heap_internal::kBorn;
using heap_internal::kVersionMask;
using heap_internal::Mark;
using heap_internal::OutsideObject;
using heap_internal::PoisonMemory;
using heap_internal::Slab;
using heap_internal::UnpoisonMemory;
using heap_internal::UpdatableClass;

namespace {

// Stops when `visit` answers false, and answers that.
bool ForEachObject(const UpdatableClass& root,
                   absl::FunctionRef<bool(char*, Mark)> visit) {
  bool goes_on = true;
  ForEachSlab(&root, [&](Slab* slab) {
    for (std::size_t i = 0; goes_on && i < slab->slot_count; ++i) {
      // Relaxed: nobody else uses the class, or the count is for people.
      const Mark mark = slab->marks()[i].load(std::memory_order_relaxed);
      if (mark != heap_internal::kNoObject)
        goes_on = visit(slab->slot(i), mark);
    }
  });
  return goes_on;
}

// Calls what the update's author wrote.
INSTAR_CATCHES_FORCED_UNWIND absl::Status Make(const AppendedMember& member,
                                               void* object) {
  try {
    member.make(object);
    return absl::OkStatus();
  } catch (const std::exception& exception) {
    return absl::AbortedError(absl::StrCat("the initializer of ", member.name,
                                           " threw ", exception.what()));
  } catch (abi::__forced_unwind&) {
    throw;
  } catch (...) {
    return absl::AbortedError(
        absl::StrCat("the initializer of ", member.name, " threw"));
  }
}

// The first `count` of them.
void Destroy(const std::vector<AppendedMember>& members, std::size_t count,
             char* object) {
  while (count != 0) members[--count].destroy(object);
}

}  // namespace

std::string MemberChange::name() const {
  return absl::StrCat(
      members_.size() == 1 ? "member " : "members ",
      absl::StrJoin(members_, ", ",
                    [](std::string* text, const AppendedMember& member) {
                      text->append(member.name);
                    }),
      " of ", class_name());
}

absl::StatusOr<std::size_t> MemberChange::Check() const {
  // Acquire, partner: what installs a version.
  if (root().highest_version.load(std::memory_order_acquire) > kBorn) {
    return absl::FailedPreconditionError(
        absl::StrCat(class_name(),
                     " has a next version by another update: undo that first"));
  }
  const std::size_t size = members_.front().class_size;
  for (const Arena* arena = root().first_arena(); arena != nullptr;
       arena = arena->next_in_class) {
    if (arena->slot_bytes() < size) {
      return absl::FailedPreconditionError(absl::StrCat(
          class_name(), " has ", size,
          " bytes now, and its objects have room for ", arena->slot_bytes(),
          ": keep the new state behind one pointer"));
    }
  }
  std::size_t objects = 0;
  ForEachObject(root(), [&](char*, Mark) {
    ++objects;
    return true;
  });
  return objects;
}

MemberChange::Objects MemberChange::Look() const {
  bool is_on_stack = false;
  bool is_elsewhere = root().untracked() > 0;
  root().ForEachOutside([&](void*, OutsideObject& entry) {
    (entry.automatic ? is_on_stack : is_elsewhere) = true;
  });
  if (is_elsewhere) return Objects::kElsewhere;
  const std::type_info& type = *members_.front().type;
  const bool are_of_the_class =
      ForEachObject(root(), [&](char* object, Mark mark) {
        return (mark & ~heap_internal::kEpochMask) == kBorn &&
               *heap_internal::TypeOf(heap_internal::VirtualTableOf(object)) ==
                   type;
      });
  if (!are_of_the_class) return Objects::kOfOtherClass;
  return is_on_stack ? Objects::kOnStack : Objects::kCanGrow;
}

// What AddressSanitizer is told. The class has its old size there, unless
// new code was the first to use it.
void MemberChange::OpenRoom(char* object) const {
  UnpoisonMemory(object, members_.front().class_size);
}
void MemberChange::CloseRoom(char* object) const {
  const std::size_t old_size = root().layout().size;
  PoisonMemory(object + old_size, members_.front().class_size - old_size);
}

absl::Status MemberChange::Apply() {
  absl::Status status;
  const char* failed = nullptr;
  ForEachObject(root(), [&](char* object, Mark) {
    OpenRoom(object);
    for (std::size_t i = 0; i < members_.size(); ++i) {
      status = Make(members_[i], object);
      if (status.ok()) continue;
      Destroy(members_, i, object);
      CloseRoom(object);
      failed = object;
      return false;
    }
    return true;
  });
  if (status.ok()) return status;
  ForEachObject(root(), [&](char* object, Mark) {
    if (object == failed) return false;
    Destroy(members_, members_.size(), object);
    CloseRoom(object);
    return true;
  });
  return status;
}

void MemberChange::Undo() {
  ForEachObject(root(), [&](char* object, Mark) {
    Destroy(members_, members_.size(), object);
    CloseRoom(object);
    return true;
  });
}

}  // namespace instar
