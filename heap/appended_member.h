// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A member that an updatable class has got at its end, in the next build of a
// program. Objects that exist get it where they are, in the room behind them
// (heap/updatable.h), when the update that instar-diff makes of the two builds
// is applied (docs/updates_from_two_builds.md).
//
//   class Product : public instar::Updatable<Product> {
//     ...
//     double mark_ = 0;  // new
//   };
//
// and in a file of the new build, outside of all namespaces:
//
//       INSTAR_CONVERT(Product, mark_, 0.0);
//
// or, with what is known of the object,
//
//       INSTAR_CONVERT(shop::Product, mark_, [](const shop::Product& product) {
//         return Guess(product);
//       });
//
// The third argument is what the member is initialized with, or is called for
// it with the object, whose other members are as they were; of several new
// members those that were named before are there, too. It runs while all
// threads stand still: it takes no lock of the program. An exception from it
// gives the update up; all objects are as they were then. Undoing the update
// destroys the member of every object.
//
// The members are named in the order in which the class declares them; private
// ones may be. An update is refused that appends a member without this. When it
// is applied all objects of the class are such as `new` has made; it waits
// while one is on a stack.
//
// MemberChange is what converts; updates/mechanisms/append_members.h makes a
// mechanism of it.

#ifndef INSTAR_HEAP_APPENDED_MEMBER_H_
#define INSTAR_HEAP_APPENDED_MEMBER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "heap/internal/updatable_class.h"

namespace instar {

// One member, as the code that knows it was compiled.
struct AppendedMember {
  heap_internal::UpdatableClass* (*root)();
  const std::type_info* type;  // of the class
  const char* name;            // "mark_"
  std::size_t begin;           // bytes from the object's address
  std::size_t class_size;      // with all its members
  void (*make)(void* object);
  void (*destroy)(void* object) noexcept;
};

// All objects of one class, and their new members.
//
// Threads: one. Check() while the program runs; the others while no other
// thread uses the class. These allocate nothing beside what initializers do,
// and the error that tells what one has thrown.
class MemberChange {
 public:
  // All new members of one class, in the order of their places. At least one.
  explicit MemberChange(std::vector<AppendedMember> members)
      : members_(std::move(members)) {}

  // "members mark_, stars_ of shop::Product"
  std::string name() const;
  const std::string& class_name() const { return root().name(); }

  // How many objects there are. FailedPrecondition: they have no room, or the
  // class has had a next version by another update.
  absl::StatusOr<std::size_t> Check() const;

  enum class Objects {
    kCanGrow,
    kOnStack,    // one is, and cannot
    kElsewhere,  // one is where it cannot: a global, a member, an element
    // One is of a class that derives from it, or is being made or destroyed.
    kOfOtherClass,
  };
  Objects Look() const;

  // All or nothing, if all can grow. The error is what an initializer threw.
  absl::Status Apply();
  void Undo();

 private:
  const heap_internal::UpdatableClass& root() const {
    return *members_.front().root();
  }
  void OpenRoom(char* object) const;
  void CloseRoom(char* object) const;

  const std::vector<AppendedMember> members_;
};

namespace heap_internal {

template <auto kMember>
struct MemberOf;
template <typename T, typename Type, Type T::*kMember>
struct MemberOf<kMember> {
  using Object = T;
  using Member = Type;
  static Type* In(void* object) {
    return std::addressof(std::launder(static_cast<T*>(object))->*kMember);
  }
};

template <auto kMember, typename Value>
void MakeMember(void* object) {
  using Member = typename MemberOf<kMember>::Member;
  using T = typename MemberOf<kMember>::Object;
  void* const place = MemberOf<kMember>::In(object);
  auto&& value = Value::Get();
  if constexpr (std::is_invocable_v<decltype(value), T&>) {
    ::new (place) Member(value(*std::launder(static_cast<T*>(object))));
  } else {
    ::new (place) Member(std::forward<decltype(value)>(value));
  }
}

template <auto kMember>
void DestroyMember(void* object) noexcept {
  std::destroy_at(MemberOf<kMember>::In(object));
}

template <typename T, typename = void>
struct IsUpdatable : std::false_type {};
template <typename T>
struct IsUpdatable<T, std::void_t<typename T::UpdatableRoot>>
    : std::is_same<typename T::UpdatableRoot, T> {};

}  // namespace heap_internal
}  // namespace instar

// The functions of a module by which it tells its members. instar-diff and the
// loader know them by this name; it is in no namespace so that INSTAR_CONVERT
// can instantiate it, which is how private members are reached.
template <auto kMember, typename Value>
__attribute__((visibility("default"), used)) void instar_generated_convert(
    instar::AppendedMember* member) {
  using Member = instar::heap_internal::MemberOf<kMember>;
  using T = typename Member::Object;
  static_assert(instar::heap_internal::IsUpdatable<T>::value,
                "instar: INSTAR_CONVERT is for members of a class that derives "
                "from instar::Updatable itself");
  // No object is there, and none is looked at.
  constexpr std::uintptr_t kSomewhere = alignof(T) * 16;
  *member = {&T::Class,
             &typeid(T),
             Value::Name(),
             reinterpret_cast<std::uintptr_t>(
                 Member::In(reinterpret_cast<void*>(kSomewhere))) -
                 kSomewhere,
             sizeof(T),
             &instar::heap_internal::MakeMember<kMember, Value>,
             &instar::heap_internal::DestroyMember<kMember>};
}

#define INSTAR_CONVERT_JOINED_(a, b, c) a##b##_##c
#define INSTAR_CONVERT_NAME_(member, line) \
  INSTAR_CONVERT_JOINED_(instar_value_of_, member, line)
#define INSTAR_CONVERT_(Class, member, Value, ...)     \
  struct Value {                                       \
    static const char* Name() { return #member; }      \
    static auto Get() { return __VA_ARGS__; }          \
  };                                                   \
  template __attribute__((visibility("default"))) void \
  instar_generated_convert<&Class::member, Value>(::instar::AppendedMember*)

// See above. Class, without commas; its new member; the value, or a function of
// the object.
#define INSTAR_CONVERT(Class, member, ...)                               \
  INSTAR_CONVERT_(Class, member, INSTAR_CONVERT_NAME_(member, __LINE__), \
                  __VA_ARGS__)

#endif  // INSTAR_HEAP_APPENDED_MEMBER_H_
