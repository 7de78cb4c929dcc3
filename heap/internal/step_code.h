// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The code that takes one object from one version of its class to the next and
// back, compiled where both are known. Internal to heap/; what it does is said
// in heap/class_version.h and heap/added_part.h.

#ifndef INSTAR_HEAP_INTERNAL_STEP_CODE_H_
#define INSTAR_HEAP_INTERNAL_STEP_CODE_H_

#include <atomic>
#include <cstddef>
#include <exception>
#include <new>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/forced_unwind.h"
#include "heap/added_part.h"
#include "heap/internal/conversion_watch.h"
#include "heap/internal/slab.h"
#include "heap/internal/updatable_class.h"
#include "heap/internal/version_record.h"
#include "heap/internal/version_requirements.h"

namespace instar {
namespace heap_internal {

// Runs a Convert(), whatever it answers or throws. If it ends its thread
// (pthread_exit() or pthread_cancel()), `undo` is called while the thread's
// stack is unwound.
template <typename Function, typename Undo>
INSTAR_CATCHES_FORCED_UNWIND absl::Status RunHook(Function hook, Undo undo) {
  try {
    if constexpr (std::is_void_v<decltype(hook())>) {
      hook();
      return absl::OkStatus();
    } else {
      return hook();
    }
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("Convert() ran out of memory");
  } catch (const std::exception& e) {
    return absl::InternalError(absl::StrCat("Convert() threw: ", e.what()));
  } catch (const abi::__forced_unwind&) {
    undo();
    throw;
  } catch (...) {
    return absl::InternalError("Convert() threw something unknown");
  }
}

constexpr std::size_t kFetchAhead = 4096;  // bytes

// Converts every object of `run.from` in the slab by
// `convert(object, &error)`, which answers as NextVersion::forward does.
template <typename Function>
void ConvertRun(SlotRun& run, Function convert) {
  Slab* const slab = run.slab;
  std::atomic<Mark>* const marks = slab->marks();
  const std::size_t slots = slab->slot_count;
  const std::size_t stride = slab->slot_bytes;
  // Copies, since what the objects write might be any of these.
  const Mark from = run.from->number;
  const Mark to = run.to->number;
  const void* from_table = run.from_table;
  ConversionWatch* const watch = run.watch;
  std::size_t converted = 0;
  char* object = slab->first_slot;
  for (std::size_t i = 0; i < slots; ++i, object += stride) {
    const Mark mark = marks[i].load(std::memory_order_relaxed);
    if (mark == kNoObject) continue;
    // Hardware does not fetch ahead beyond a page. Behind the slab's end the
    // address is merely of no use.
    __builtin_prefetch(object + kFetchAhead, /*write*/ 1);
    const Mark number = mark & kVersionMask;
    if ((number != kBorn && number != from) || (mark & kDying)) continue;
    if (number == kBorn) {
      const void* table = *reinterpret_cast<void* const*>(object);
      if (table != from_table) {
        if (!run.IsFrom(table)) continue;
        from_table = table;
      }
    }
    // Before Convert(), which may meet its own object through a proxy.
    marks[i].store((mark & kEpochMask) | to, std::memory_order_relaxed);
    MarkIfUnwound on_unwinding(&marks[i], mark);
    if (__builtin_expect(!convert(object, &run.status), 0)) {
      marks[i].store(mark, std::memory_order_relaxed);
      run.failed_object = object;
      on_unwinding.Forget();
      break;
    }
    on_unwinding.Forget();
    ++converted;
    if (__builtin_expect(!watch->GoesOn(), 0)) {
      run.status = ConversionWatch::Stopped();
      run.failed_object = object;
      break;
    }
  }
  run.converted = converted;
}

// The next version derives from the last: the object is moved out of its place
// and back into it.
template <typename Old, typename New>
class StepCode {
  // Room for the old object; begins with no object in it.
  union Temporary {
    Temporary() : none() {}
    ~Temporary() {}
    char none;
    Old object;
  };

 public:
  static bool Forward(void* object, absl::Status* error) {
    Temporary temporary;
    InPlaceChange change(&temporary);
    return MoveForwardAndConvert(object, &temporary, change, error);
  }

  static void Back(void* object) noexcept {
    New* from = std::launder(static_cast<New*>(object));
    if constexpr (ConvertBackHook<New>::value == Hook::kUsable) {
      from->ConvertBack();
    }
    Temporary temporary;
    InPlaceChange change(&temporary);
    MoveBack(object, &temporary, change);
  }

  static void ForwardRun(SlotRun& run) {
    Temporary temporary;
    InPlaceChange change(&temporary);
    if constexpr (ConvertHook<New>::value == Hook::kUsable) {
      ConvertRun(run, [&](void* object, absl::Status* error) {
        return MoveForwardAndConvert(object, &temporary, change, error);
      });
    } else {
      change.Begin(nullptr);
      ConvertRun(run, [&](void* object, absl::Status*) {
        change.GoOnWith(object);
        MoveForward(object, &temporary, change);
        return true;
      });
      change.End();
    }
  }

 private:
  // While the change is of this object.
  [[gnu::always_inline]] static New* MoveForward(void* object, void* temporary,
                                                 const InPlaceChange& change) {
    UnpoisonMemory(object, sizeof(New));
    Old* old = std::launder(static_cast<Old*>(object));
    change.Check(object, temporary, typeid(Old));
    Old* moved = ::new (temporary) Old(std::move(*old));
    change.Check(object, temporary, typeid(Old));
    old->Old::~Old();
    change.Check(object, temporary, typeid(Old));
    New* next = ::new (object) New(std::move(*moved));
    change.Check(object, temporary, typeid(Old));
    moved->Old::~Old();
    return next;
  }

  static bool MoveForwardAndConvert(void* object, void* temporary,
                                    InPlaceChange& change,
                                    absl::Status* error) {
    change.Begin(object);
    New* next = MoveForward(object, temporary, change);
    change.End();
    if constexpr (ConvertHook<New>::value == Hook::kUsable) {
      absl::Status status =
          RunHook([next] { return next->Convert(); },
                  [&] { MoveBack(object, temporary, change); });
      if (__builtin_expect(!status.ok(), 0)) {
        MoveBack(object, temporary, change);
        *error = std::move(status);
        return false;
      }
    } else {
      (void)next;
      (void)error;
    }
    return true;
  }

  static void MoveBack(void* object, void* temporary, InPlaceChange& change) {
    change.Begin(object);
    New* from = std::launder(static_cast<New*>(object));
    change.Check(object, temporary, typeid(Old));
    Old* moved = ::new (temporary) Old(std::move(static_cast<Old&>(*from)));
    change.Check(object, temporary, typeid(Old));
    from->New::~New();
    change.Check(object, temporary, typeid(Old));
    ::new (object) Old(std::move(*moved));
    change.Check(object, temporary, typeid(Old));
    moved->Old::~Old();
    change.End();
    if (SlabOf(object) != nullptr) {
      PoisonMemory(static_cast<char*>(object) + sizeof(Old),
                   sizeof(New) - sizeof(Old));
    }
  }
};

// The next version is added behind the last.
template <typename Old, typename New>
class AddedStepCode {
  using Object = ObjectClassOf<New>;
  using Last = typename New::InstarLastVersion;

 public:
  static New* PartOf(void* object) {
    return std::launder(reinterpret_cast<New*>(static_cast<char*>(object) +
                                               OffsetOfPart<New>()));
  }

  static bool Forward(void* place, absl::Status* error) {
    UnpoisonMemory(place, EndOfVersion<New>());
    Object* object = std::launder(static_cast<Object*>(place));
    New* part =
        ::new (static_cast<char*>(place) + OffsetOfPart<New>()) New(*object);
    if constexpr (ConvertHook<New>::value == Hook::kUsable) {
      absl::Status status = RunHook([&] { return part->Convert(*object); },
                                    [&] { Remove(place); });
      if (__builtin_expect(!status.ok(), 0)) {
        Remove(place);
        *error = std::move(status);
        return false;
      }
    } else {
      (void)part;
      (void)error;
    }
    return true;
  }

  static void Back(void* place) noexcept {
    if constexpr (ConvertBackHook<New>::value == Hook::kUsable) {
      PartOf(place)->ConvertBack(*std::launder(static_cast<Object*>(place)));
    }
    Remove(place);
  }

  static void ForwardRun(SlotRun& run) { ConvertRun(run, &Forward); }

  // The object has been destroyed: so are its parts, the newest first.
  static void End(void* place) noexcept {
    PartOf(place)->~New();
    if constexpr (IsAdded<Last>::value) {
      AddedStepCode<typename Last::InstarLastVersion, Last>::End(place);
    }
  }

 private:
  static void Remove(void* place) noexcept {
    PartOf(place)->~New();
    if (SlabOf(place) != nullptr) {
      PoisonMemory(static_cast<char*>(place) + EndOfVersion<Old>(),
                   EndOfVersion<New>() - EndOfVersion<Old>());
    }
  }
};

// NextVersion::end_parts.
template <typename Code, typename New>
constexpr auto EndParts() -> void (*)(void*) noexcept {
  if constexpr (IsAdded<New>::value) {
    return &Code::End;
  } else {
    return nullptr;
  }
}

template <typename Old, typename New>
const NextVersion& NextVersionOf() {
  RequireCanBecome<Old, New>();
  using Object = ObjectClassOf<Old>;
  using Root = typename Object::UpdatableRoot;
  using Code = std::conditional_t<IsAdded<New>::value, AddedStepCode<Old, New>,
                                  StepCode<Old, New>>;
  // Made by the compiler: a variable that is written when it is first used
  // would be something that an update module remembers.
  static constexpr NextVersion next = {
      &Object::Class,
      &typeid(Old),
      &typeid(New),
      EndOfVersion<Old>(),
      EndOfVersion<New>(),
      AlignmentOfVersion<New>(),
      {&typeid(Root), sizeof(Root), alignof(Root), Root::kRoomToGrow},
      /*old_is_copied_or_moved=*/std::is_move_constructible_v<Object> ||
          std::is_move_assignable_v<Object>,
      &Code::Forward,
      &Code::Back,
      &Code::ForwardRun,
      EndParts<Code, New>(),
  };
  return next;
}

}  // namespace heap_internal
}  // namespace instar

#endif  // INSTAR_HEAP_INTERNAL_STEP_CODE_H_
