// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The next version of an updatable class, and what it must be.
//
//   struct ProductV2 : Product {             // derives from the last version
//     explicit ProductV2(Product&& old) noexcept : Product(std::move(old)) {}
//     absl::Status Convert();                // optional: __convert__ of
//     PyMoult void ConvertBack() noexcept;           // optional: before it is
//     undone double mark = 0;
//   };
//
// An object is converted where it is (docs/object_conversion.md): it is moved
// into a temporary, destroyed, and the next version is constructed from the
// temporary at the same address. Then Convert() runs, if ProductV2 itself
// declares one: `absl::Status Convert()` or `void Convert()`. If it answers an
// error or throws, ConvertBack() does not run, the old part is moved back out
// and the object is a Product again; what Convert() itself changed in the old
// part stays changed. Convert() may use other objects, through proxies those
// of classes that are being updated; it must not destroy its own.
//
// Versions form a chain: ProductV3 derives from ProductV2. An object that
// missed one step takes both.
//
// CanBecome<Old, New> says whether New can follow Old, WhyNot<Old, New> why
// not; using a pair that cannot is refused by the compiler with a sentence.
// What only the running program knows (the layout that it was built with, room,
// virtual bases further up) is checked before anything is changed, see
// heap/conversion.h.
//
// New code reaches new members through an old pointer:
//
//   if (ProductV2* v2 = instar::version_cast<ProductV2>(product)) v2->mark = 1;

#ifndef INSTAR_HEAP_CLASS_VERSION_H_
#define INSTAR_HEAP_CLASS_VERSION_H_

#include <atomic>
#include <cstddef>
#include <exception>
#include <new>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "heap/slab.h"
#include "heap/updatable.h"
#include "heap/updatable_class.h"
#include "heap/version_record.h"

namespace instar {

enum class Refusal {
  kNone,
  kOldIsFinal,
  kNotDerived,
  kNotUpdatable,
  kNotPublicBase,
  kVirtualBase,
  kAbstract,
  kNoVirtualDestructor,
  kOldNotAtStart,
  kOldCannotMove,
  kOldMoveThrows,
  kNoConstructorFromOld,
  kConstructorFromOldThrows,
  kConvertUnusable,
  kConvertBackUnusable,
};

namespace heap_internal {

template <typename T, typename = void>
struct HasRoot : std::false_type {};
template <typename T>
struct HasRoot<T, std::void_t<typename T::UpdatableRoot>> : std::true_type {};

// A pointer cannot be cast down from a virtual base.
template <typename Old, typename New, typename = void>
struct CastsDown : std::false_type {};
template <typename Old, typename New>
struct CastsDown<Old, New,
                 std::void_t<decltype(static_cast<New*>(std::declval<Old*>()))>>
    : std::true_type {};

// Whether New's part of class Old begins where New begins.
template <typename Old, typename New>
struct AtStart {
  union Storage {
    char none;
    New object;
    constexpr Storage() : none() {}
    ~Storage() {}
  };
  static inline Storage storage;
  static constexpr bool value =
      static_cast<const volatile void*>(static_cast<Old*>(&storage.object)) ==
      static_cast<const volatile void*>(&storage.object);
};

// What `&New::Convert` is. A function that New merely inherits has the type of
// a member of another class.
enum class Hook { kNone, kInherited, kUsable, kUnusable };

template <typename Function, typename New, typename Result>
constexpr Hook HookOf() {
  if (std::is_same_v<Function, Result (New::*)()> ||
      std::is_same_v<Function, Result (New::*)() noexcept> ||
      std::is_same_v<Function, void (New::*)()> ||
      std::is_same_v<Function, void (New::*)() noexcept>) {
    return Hook::kUsable;
  }
  return Hook::kUnusable;
}
template <typename Function>
struct OwnerOf;
template <typename Member, typename Class>
struct OwnerOf<Member Class::*> {
  using type = Class;
};

// There are several functions of the name: `&New::Convert` means nothing then,
// while the probe, which has the same name, makes the lookup ambiguous.
struct ConvertProbe {
  int Convert;
};
template <typename New, typename Probe>
struct WithProbe : New, Probe {};
template <typename New, typename = void>
struct NamesConvert : std::true_type {};
template <typename New>
struct NamesConvert<
    New, std::void_t<decltype(&WithProbe<New, ConvertProbe>::Convert)>>
    : std::false_type {};
template <typename New>
constexpr bool ConvertIsOverloaded() {
  if constexpr (std::is_final_v<New>) {
    return false;  // cannot be asked
  } else {
    return NamesConvert<New>::value;
  }
}

template <typename New, typename = void>
struct ConvertHook {
  static constexpr Hook value =
      ConvertIsOverloaded<New>() ? Hook::kUnusable : Hook::kNone;
};
template <typename New>
struct ConvertHook<New, std::void_t<decltype(&New::Convert)>> {
  using Function = decltype(&New::Convert);
  static constexpr Hook value =
      std::is_same_v<typename OwnerOf<Function>::type, New>
          ? HookOf<Function, New, absl::Status>()
          : Hook::kInherited;
};

template <typename New, typename = void>
struct ConvertBackHook {
  static constexpr Hook value = Hook::kNone;
};
template <typename New>
struct ConvertBackHook<New, std::void_t<decltype(&New::ConvertBack)>> {
  using Function = decltype(&New::ConvertBack);
  static constexpr Hook value =
      !std::is_same_v<typename OwnerOf<Function>::type, New> ? Hook::kInherited
      : std::is_same_v<Function, void (New::*)() noexcept>   ? Hook::kUsable
                                                             : Hook::kUnusable;
};

template <typename Old, typename New>
constexpr Refusal FindRefusal() {
  if constexpr (std::is_final_v<Old>) {
    return Refusal::kOldIsFinal;
  } else if constexpr (!std::is_base_of_v<Old, New> ||
                       std::is_same_v<Old, New>) {
    return Refusal::kNotDerived;
  } else if constexpr (!HasRoot<Old>::value) {
    return Refusal::kNotUpdatable;
  } else if constexpr (!std::is_convertible_v<New*, Old*>) {
    return Refusal::kNotPublicBase;
  } else if constexpr (!CastsDown<Old, New>::value) {
    return Refusal::kVirtualBase;
  } else if constexpr (std::is_abstract_v<Old> || std::is_abstract_v<New>) {
    return Refusal::kAbstract;
  } else if constexpr (!std::has_virtual_destructor_v<Old>) {
    return Refusal::kNoVirtualDestructor;
  } else if constexpr (!AtStart<Old, New>::value ||
                       !AtStart<typename Old::UpdatableRoot, Old>::value) {
    return Refusal::kOldNotAtStart;
  } else if constexpr (!std::is_move_constructible_v<Old>) {
    return Refusal::kOldCannotMove;
  } else if constexpr (!std::is_nothrow_move_constructible_v<Old>) {
    return Refusal::kOldMoveThrows;
  } else if constexpr (!std::is_constructible_v<New, Old&&>) {
    return Refusal::kNoConstructorFromOld;
  } else if constexpr (!std::is_nothrow_constructible_v<New, Old&&>) {
    return Refusal::kConstructorFromOldThrows;
  } else if constexpr (ConvertHook<New>::value == Hook::kUnusable) {
    return Refusal::kConvertUnusable;
  } else if constexpr (ConvertBackHook<New>::value == Hook::kUnusable) {
    return Refusal::kConvertBackUnusable;
  } else {
    return Refusal::kNone;
  }
}

}  // namespace heap_internal

template <typename Old, typename New>
inline constexpr Refusal WhyNot = heap_internal::FindRefusal<Old, New>();

template <typename Old, typename New>
inline constexpr bool CanBecome = WhyNot<Old, New> == Refusal::kNone;

namespace heap_internal {

// The messages behind WhyNot, as the compiler gives them.
template <typename Old, typename New>
constexpr void RequireCanBecome() {
  constexpr Refusal why = WhyNot<Old, New>;
  static_assert(why != Refusal::kOldIsFinal,
                "instar: the old version is `final`: nothing can derive from "
                "it, so it can have no next version");
  static_assert(why != Refusal::kNotDerived,
                "instar: the next version must derive from the last: "
                "`struct New : Old`");
  static_assert(why != Refusal::kNotUpdatable,
                "instar: the old version is no updatable class: it must derive "
                "from instar::Updatable");
  static_assert(why != Refusal::kNotPublicBase,
                "instar: the next version must derive publicly, and once, from "
                "the last");
  static_assert(why != Refusal::kVirtualBase,
                "instar: the last version must not be a virtual base of the "
                "next: virtual bases have another place in each class");
  static_assert(why != Refusal::kAbstract,
                "instar: an abstract class has no objects to convert: convert "
                "the classes that derive from it");
  static_assert(why != Refusal::kNoVirtualDestructor,
                "instar: the old version needs a virtual destructor, or old "
                "code would destroy new objects by halves");
  static_assert(why != Refusal::kOldNotAtStart,
                "instar: the last version must be the first base that has "
                "virtual functions, so that its part keeps its address");
  static_assert(why != Refusal::kOldCannotMove,
                "instar: the old version cannot be moved. Does it hold a mutex "
                "or an atomic? Keep that behind a std::unique_ptr, or give the "
                "class a constructor `Old(Old&&) noexcept`");
  static_assert(why != Refusal::kOldMoveThrows,
                "instar: moving the old version may throw. Does it declare a "
                "destructor or a copy constructor? Add "
                "`Old(Old&&) noexcept = default;`");
  static_assert(why != Refusal::kNoConstructorFromOld,
                "instar: the next version needs a constructor "
                "`explicit New(Old&& old) noexcept : Old(std::move(old)) {}`");
  static_assert(why != Refusal::kConstructorFromOldThrows,
                "instar: the constructor `New(Old&&)` must be noexcept; work "
                "that can fail belongs in `absl::Status Convert()`");
  static_assert(why != Refusal::kConvertUnusable,
                "instar: Convert() must be `absl::Status Convert()` or "
                "`void Convert()`");
  static_assert(why != Refusal::kConvertBackUnusable,
                "instar: ConvertBack() must be "
                "`void ConvertBack() noexcept`");
}

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
  static absl::Status Forward(void* object) {
    Temporary temporary;
    InPlaceChange change(&temporary);
    return MoveForwardAndConvert(object, &temporary, change);
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
    Slab* const slab = run.slab;
    std::atomic<Mark>* const marks = slab->marks();
    const std::size_t slots = slab->slot_count;
    const std::size_t stride = slab->slot_bytes;
    // Copies, since what the objects write might be any of these.
    const Mark from = run.from->number;
    const Mark to = run.to->number;
    const void* from_table = run.from_table;
    char* object = slab->first_slot;
    for (std::size_t i = 0; i < slots; ++i, object += stride) {
      const Mark mark = marks[i].load(std::memory_order_relaxed);
      const Mark number = mark & kVersionMask;
      if (number != kBorn && number != from) continue;
      if (number == kBorn) {
        const void* table = *reinterpret_cast<void* const*>(object);
        if (table != from_table) {
          if (!run.IsFrom(table)) continue;
          from_table = table;
        }
      }
      // Before Convert(), which may meet its own object through a proxy.
      marks[i].store((mark & kEpochMask) | to, std::memory_order_relaxed);
      absl::Status status = MoveForwardAndConvert(object, &temporary, change);
      if (__builtin_expect(!status.ok(), 0)) {
        marks[i].store(mark, std::memory_order_relaxed);
        run.failed_object = object;
        run.status = std::move(status);
        return;
      }
      ++run.converted;
    }
  }

 private:
  static absl::Status MoveForwardAndConvert(void* object, void* temporary,
                                            InPlaceChange& change) {
    UnpoisonMemory(object, sizeof(New));
    change.Begin(object);
    Old* old = std::launder(static_cast<Old*>(object));
    Old* moved = ::new (temporary) Old(std::move(*old));
    old->Old::~Old();
    New* next = ::new (object) New(std::move(*moved));
    moved->Old::~Old();
    change.End();
    if constexpr (ConvertHook<New>::value == Hook::kUsable) {
      absl::Status status = RunConvert(next);
      if (__builtin_expect(!status.ok(), 0)) {
        MoveBack(object, temporary, change);
        return status;
      }
    } else {
      (void)next;
    }
    return absl::OkStatus();
  }

  static void MoveBack(void* object, void* temporary, InPlaceChange& change) {
    change.Begin(object);
    New* from = std::launder(static_cast<New*>(object));
    Old* moved = ::new (temporary) Old(std::move(static_cast<Old&>(*from)));
    from->New::~New();
    ::new (object) Old(std::move(*moved));
    moved->Old::~Old();
    change.End();
    if (SlabOf(object) != nullptr) {
      PoisonMemory(static_cast<char*>(object) + sizeof(Old),
                   sizeof(New) - sizeof(Old));
    }
  }

  static absl::Status RunConvert(New* object) {
    try {
      if constexpr (std::is_void_v<decltype(object->Convert())>) {
        object->Convert();
        return absl::OkStatus();
      } else {
        return object->Convert();
      }
    } catch (const std::bad_alloc&) {
      return absl::ResourceExhaustedError("Convert() ran out of memory");
    } catch (const std::exception& e) {
      return absl::InternalError(absl::StrCat("Convert() threw: ", e.what()));
    } catch (...) {
      return absl::InternalError("Convert() threw something unknown");
    }
  }
};

template <typename Old, typename New>
const NextVersion& NextVersionOf() {
  RequireCanBecome<Old, New>();
  using Root = typename Old::UpdatableRoot;
  static const NextVersion next = {
      &Old::Class,
      &typeid(Old),
      &typeid(New),
      sizeof(Old),
      sizeof(New),
      alignof(New),
      {&typeid(Root), sizeof(Root), alignof(Root), Root::kRoomToGrow},
      std::is_copy_constructible_v<Old> || std::is_copy_assignable_v<Old>,
      &StepCode<Old, New>::Forward,
      &StepCode<Old, New>::Back,
      &StepCode<Old, New>::ForwardRun,
  };
  return next;
}

}  // namespace heap_internal

// `object` as an object of version `New`, or null if it is of an earlier one
// (or null itself). Waits while another thread converts the object; does not
// convert it. Inside New's own Convert() it is that object already.
template <typename New, typename T>
New* version_cast(T* object) {
  static_assert(std::is_base_of_v<T, New>,
                "instar: version_cast goes from a class to its later version");
  if (object == nullptr) return nullptr;
  using Root = typename T::UpdatableRoot;
  heap_internal::AwaitConversion(T::Class(), static_cast<Root*>(object));
  T* current = std::launder(object);
  if (typeid(*current) == typeid(New)) return static_cast<New*>(current);
  return dynamic_cast<New*>(current);
}

}  // namespace instar

#endif  // INSTAR_HEAP_CLASS_VERSION_H_
