// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the next version of a class must be, as far as the compiler can tell:
// WhyNot<Old, New>, CanBecome<Old, New>, and the sentences that it gives.
// heap/class_version.h explains the versions themselves.

#ifndef INSTAR_HEAP_INTERNAL_VERSION_REQUIREMENTS_H_
#define INSTAR_HEAP_INTERNAL_VERSION_REQUIREMENTS_H_

#include <cstddef>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "heap/added_part.h"
#include "heap/internal/slab.h"

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
  // Objects of the class that the program was built with have too little room.
  // Of a later version, only the running program knows that.
  kTooLarge,
  // Of a part that is added (heap/added_part.h):
  kAddedToAnother,
  kOldIsAdded,
  kNoConstructorFromObject,
  kConstructorFromObjectThrows,
  kAddedConvertUnusable,
  kAddedConvertBackUnusable,
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
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wundefined-var-template"
#pragma clang diagnostic ignored "-Wundefined-internal"
#endif
template <typename Old, typename New>
struct AtStart {
  union Storage {
    char none;
    New object;
    constexpr Storage() : none() {}
    ~Storage() {}
  };
  // Never defined, and so not initialized: the compiler is asked for its
  // address, and nobody else.
  static Storage storage;
  static constexpr bool value =
      static_cast<const volatile void*>(static_cast<Old*>(&storage.object)) ==
      static_cast<const volatile void*>(&storage.object);
};
#ifdef __clang__
#pragma clang diagnostic pop
#endif

// What `&New::Convert` is. A function that New merely inherits has the type of
// a member of another class.
enum class Hook { kNone, kInherited, kUsable, kUnusable };

// What a hook of New is: a part that is added gets the object it is added to.
template <typename New, typename Result, typename = void>
struct HookSignature {
  using Type = Result (New::*)();
  using NoexceptType = Result (New::*)() noexcept;
};
template <typename New, typename Result>
struct HookSignature<New, Result, std::enable_if_t<IsAdded<New>::value>> {
  using Type = Result (New::*)(ObjectClassOf<New>&);
  using NoexceptType = Result (New::*)(ObjectClassOf<New>&) noexcept;
};

template <typename Function, typename New, typename Result>
constexpr Hook HookOf() {
  if (std::is_same_v<Function, typename HookSignature<New, Result>::Type> ||
      std::is_same_v<Function,
                     typename HookSignature<New, Result>::NoexceptType> ||
      std::is_same_v<Function, typename HookSignature<New, void>::Type> ||
      std::is_same_v<Function,
                     typename HookSignature<New, void>::NoexceptType>) {
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
      : std::is_same_v<Function,
                       typename HookSignature<New, void>::NoexceptType>
          ? Hook::kUsable
          : Hook::kUnusable;
};

// Whether New cannot lie in the slots that `new Old` takes. Of what has no
// slots, and of versions and subclasses, it is not known here.
template <typename Old, typename New>
constexpr bool IsTooLarge() {
  if constexpr (std::is_same_v<Old, typename Old::UpdatableRoot>) {
    constexpr std::size_t slot =
        SlotBytes(sizeof(Old), Old::kRoomToGrow, alignof(Old));
    return slot <= kMaxSlotBytes && slot < EndOfVersion<New>();
  } else {
    return false;
  }
}

template <typename Old, typename New>
constexpr Refusal FindRefusalOfPart() {
  using Object = ObjectClassOf<Old>;
  if constexpr (!std::is_same_v<typename New::InstarLastVersion, Old>) {
    return Refusal::kAddedToAnother;
  } else if constexpr (std::is_abstract_v<Object> || std::is_abstract_v<New>) {
    return Refusal::kAbstract;
  } else if constexpr (!AtStart<typename Old::UpdatableRoot, Object>::value) {
    return Refusal::kOldNotAtStart;
  } else if constexpr (!std::is_constructible_v<New, Object&>) {
    return Refusal::kNoConstructorFromObject;
  } else if constexpr (!std::is_nothrow_constructible_v<New, Object&>) {
    return Refusal::kConstructorFromObjectThrows;
  } else if constexpr (ConvertHook<New>::value == Hook::kUnusable) {
    return Refusal::kAddedConvertUnusable;
  } else if constexpr (ConvertBackHook<New>::value == Hook::kUnusable) {
    return Refusal::kAddedConvertBackUnusable;
  } else if constexpr (IsTooLarge<Old, New>()) {
    return Refusal::kTooLarge;
  } else {
    return Refusal::kNone;
  }
}

template <typename Old, typename New>
constexpr Refusal FindRefusal() {
  if constexpr (IsAdded<New>::value) {
    return FindRefusalOfPart<Old, New>();
  } else if constexpr (IsAdded<Old>::value) {
    return Refusal::kOldIsAdded;
  } else if constexpr (std::is_final_v<Old>) {
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
  } else if constexpr (IsTooLarge<Old, New>()) {
    return Refusal::kTooLarge;
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
                "or an atomic? Let the next version be a part that is added "
                "and moves nothing: `struct New : instar::AddedTo<Old>` "
                "(heap/added_part.h)");
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
  static_assert(why != Refusal::kTooLarge,
                "instar: the next version does not fit into the room that the "
                "program has behind objects of the class: keep the new state "
                "behind one pointer, as std::unique_ptr<State>; a program that "
                "is built anew can have more room, Updatable<Class, bytes>");
  static_assert(why != Refusal::kAddedToAnother,
                "instar: the next version says that it is added to another "
                "class: it must be `struct New : instar::AddedTo<Old>`");
  static_assert(why != Refusal::kOldIsAdded,
                "instar: the last version was added to its object: the next "
                "must be added too, `struct New : instar::AddedTo<Old>`");
  static_assert(why != Refusal::kNoConstructorFromObject,
                "instar: a part that is added needs a constructor "
                "`explicit New(Object&) noexcept`, Object being the class of "
                "the object that it is added to");
  static_assert(why != Refusal::kConstructorFromObjectThrows,
                "instar: the constructor `New(Object&)` must be noexcept; work "
                "that can fail belongs in `absl::Status Convert(Object&)`");
  static_assert(why != Refusal::kAddedConvertUnusable,
                "instar: Convert() of a part that is added must be "
                "`absl::Status Convert(Object&)` or `void Convert(Object&)`");
  static_assert(why != Refusal::kAddedConvertBackUnusable,
                "instar: ConvertBack() of a part that is added must be "
                "`void ConvertBack(Object&) noexcept`");
}

}  // namespace heap_internal
}  // namespace instar

#endif  // INSTAR_HEAP_INTERNAL_VERSION_REQUIREMENTS_H_
