// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The versions of a class at run time, and the conversion of one object while
// other threads use others. Internal to heap/; users see heap/class_version.h
// and heap/conversion.h.
//
// The life of a mark (heap/internal/slab.h), and who may make each move:
//
//   from             to                 by
//   0                kBorn              the constructor
//   kBorn, number    busy               a thread that converts, by compare and
//                                       swap: of two that try, one
//   busy             a later number     the same thread, release
//   busy             as before, failed  the same thread: Convert() failed
//   kBorn, number    the same, dying    who is about to destroy it (a proxy)
//   any but busy     its epoch cleared  who starts an epoch (UpdatableClass)
//   any but busy     0                  the destructor
//   busy             lost               a child, of the threads that it has not
//   any              another number     who converts or takes back while nobody
//                                       else uses the class
// Every other move is a bug of the caller.

#ifndef INSTAR_HEAP_INTERNAL_VERSION_RECORD_H_
#define INSTAR_HEAP_INTERNAL_VERSION_RECORD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <typeinfo>

#include "absl/status/status.h"
#include "heap/internal/conversion_watch.h"
#include "heap/internal/slab.h"
#include "heap/internal/updatable_class.h"

namespace instar {
namespace heap_internal {

struct SlotRun;

// How objects of one class become objects of the next, as the code that knows
// both was compiled. Constant, and lives as long as that code.
struct NextVersion {
  UpdatableClass* (*root)();  // of which both are versions
  const std::type_info* old_type;
  const std::type_info* new_type;
  std::size_t old_size;
  std::size_t new_size;
  std::size_t new_alignment;
  ClassLayout root_layout;  // as that code takes it to be
  bool old_is_copied_or_moved;
  // Converts in place. If it answers false the object is of the old class again
  // and `error` says why.
  bool (*forward)(void* object, absl::Status* error);
  // Makes it an object of the old class again.
  void (*back)(void* object) noexcept;
  // `forward` for all objects of a slab while nobody else uses them.
  void (*forward_run)(SlotRun& run);
  // The new version is a part that is added behind the object: destroys it, and
  // those that were added before, when the object has been destroyed. Else
  // null.
  void (*end_parts)(void* object) noexcept;
};

struct VersionRecord {
  const NextVersion* step = nullptr;  // from `previous`; null for the first
  const std::type_info* type = nullptr;
  std::string name;
  std::size_t size = 0;
  Mark number = 0;
  VersionRecord* previous = nullptr;
  // Objects that old code makes after the update wait for a proxy.
  bool at_first_access = false;
  std::atomic<VersionRecord*> next{nullptr};
  // The virtual table of its objects, once one was seen.
  std::atomic<const void*> virtual_table{nullptr};
};

// Stores an object's mark if the thread ends in a Convert(), whose object is
// again what it was before when the stack is unwound.
class MarkIfUnwound {
 public:
  MarkIfUnwound(std::atomic<Mark>* mark, Mark value)
      : mark_(mark), value_(value) {}
  ~MarkIfUnwound() {
    // Release, partner: as after a conversion.
    if (mark_ != nullptr) mark_->store(value_, std::memory_order_release);
  }
  MarkIfUnwound(const MarkIfUnwound&) = delete;
  MarkIfUnwound& operator=(const MarkIfUnwound&) = delete;
  void Set(Mark value) { value_ = value; }
  void Forget() { mark_ = nullptr; }

 private:
  std::atomic<Mark>* mark_;
  Mark value_;
};

// One slab's part of an eager conversion.
struct SlotRun {
  // Whether an object with this virtual table is of `from`; remembers the
  // answer.
  bool IsFrom(const void* table);

  UpdatableClass* root;
  Slab* slab;
  ConversionWatch* watch;
  const VersionRecord* from;
  const VersionRecord* to;
  const void* from_table = nullptr;
  const void* other_table = nullptr;
  std::size_t converted = 0;
  const void* failed_object = nullptr;
  absl::Status status;
};

// The virtual table of an object. May be called for memory that another thread
// is making or destroying an object in: then the answer is out of date. The
// word may change while it is read, and belong to a slot that is free: whatever
// stands there is, or was, the virtual table of an object of the class, or
// null. No sanitizer can know that.
__attribute__((no_sanitize("address"),
               no_sanitize("thread"))) inline const void*
VirtualTableOf(const void* object) {
  return *static_cast<const void* const volatile*>(object);
}
const std::type_info* TypeOf(const void* virtual_table);

// The record of a class that is a version of `root`, by its type, or null.
VersionRecord* RecordOfType(UpdatableClass* root, const std::type_info& type);

// A number at or above `from` that no version of `root` has; kNoObject if there
// is none.
Mark FreeVersionNumber(UpdatableClass* root, Mark from);

// The version whose objects have this virtual table; null for a class that has
// no record: a subclass, or any class before its first conversion is prepared.
VersionRecord* RecordOf(UpdatableClass* root, const void* virtual_table);

// The version that a tracked object has. Null as above.
VersionRecord* RecordOf(UpdatableClass* root, const void* object, Mark mark);

// Whether this object of `from` has the room and the alignment for `to`.
inline bool Fits(const void* object, const TrackedObject& tracked,
                 const VersionRecord& from, const NextVersion& to) {
  const std::size_t capacity =
      tracked.capacity != 0 ? tracked.capacity : from.size;
  return to.new_size <= capacity && (reinterpret_cast<std::uintptr_t>(object) &
                                     (to.new_alignment - 1)) == 0;
}

// Converts a tracked object to the latest version of its exact class, unless it
// has it, was left behind or is being destroyed. Waits for another thread that
// is converting it. OK if there was nothing to do. An object whose conversion
// failed before is tried again only if `retry`.
// Called from a Convert() for an object whose conversion this thread is in the
// midst of, or waits for in a circle with other threads, it returns at once.
absl::Status BringUpToDate(UpdatableClass* root, void* object,
                           const TrackedObject& tracked, bool retry);

// The same for a proxy: a failure is only marked, and not tried again.
void ConvertAtAccess(UpdatableClass* root, void* object);

// One attempt of the same for a sweep, which must not touch the object unless
// its mark is still `seen` (and not busy). False: it is not.
bool ConvertIfUnchanged(UpdatableClass* root, void* object,
                        const TrackedObject& tracked, Mark seen, bool retry,
                        absl::Status& status);

// Whether the object has version `type`, or a later one; what it is becoming
// counts for the thread that converts it. Waits while another thread does.
// Finds versions that conversions have given: not those that new code makes.
bool HasVersion(UpdatableClass* root, const void* object,
                const std::type_info& type);

// Waits while another thread converts the object.
void AwaitConversion(UpdatableClass* root, const void* object);

// Marks an object that is about to be destroyed, so that no sweep touches it.
// Waits for another thread that is converting it.
void ClaimForDestruction(UpdatableClass* root, void* object);

// While it lives, the thread converts the object.
class ConversionInProgress {
 public:
  explicit ConversionInProgress(const void* object)
      : object_(object), outer_(current) {
    current = this;
  }
  ~ConversionInProgress() { current = outer_; }
  ConversionInProgress(const ConversionInProgress&) = delete;
  ConversionInProgress& operator=(const ConversionInProgress&) = delete;

  // What the object is becoming.
  void set_version(const VersionRecord* version) { version_ = version; }
  const VersionRecord* version() const { return version_; }

  // The one of `object` in a chain, or null.
  static const ConversionInProgress* Find(const ConversionInProgress* first,
                                          const void* object) {
    while (first != nullptr && first->object_ != object) first = first->outer_;
    return first;
  }
  static bool Holds(const ConversionInProgress* first, const void* object) {
    return Find(first, object) != nullptr;
  }

  // Writes the objects of a chain, at most `room`, and answers how many.
  static std::size_t List(const ConversionInProgress* first,
                          const void** objects, std::size_t room) {
    std::size_t count = 0;
    for (; first != nullptr && count < room; first = first->outer_) {
      objects[count++] = first->object_;
    }
    return count;
  }

  static __thread const ConversionInProgress* current
      __attribute__((tls_model("initial-exec")));

 private:
  const void* const object_;
  const ConversionInProgress* const outer_;
  const VersionRecord* version_ = nullptr;
};

}  // namespace heap_internal
}  // namespace instar

#endif  // INSTAR_HEAP_INTERNAL_VERSION_RECORD_H_
