// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Which types two builds of a program lay out in different ways, and what that
// means for the objects that exist when one replaces the other.
//
//   TypeSet was, is;
//   for (each object of the old build) was.Add(info, "src/shop.o");
//   for (each object of the new build) is.Add(info, "src/shop.o");
//   for (const TypeChange& change : CompareTypes(was, is)) {
//     if (change.verdict != TypeVerdict::kCompatible) ... change.message ...
//   }
//
// All objects of both builds are to be given. GCC describes a C++ class that
// has virtual functions only where the first that is not inline is defined; an
// object that only uses it declares it.
//
// GCC leaves out types that no variable, parameter or member leads to: in C++
// those of which there are only temporaries, as in throw Error{3} or
// static_cast<T*>(memory)->x. -fno-eliminate-unused-debug-types describes all.
//
// Types are compared by their names. One that has come counts as one that has
// gone, under another name, if it is in the same source and has more than half
// of its members, or if it is of that name and local to another source; an
// enumeration without a name, if it has any of the same enumerators. Instances
// of templates do not. What else has another name is not compared: objects that
// are reached by a pointer to void have the old layout then. What holds a type
// that changed its size has changed as well, and is named, too. Values are not
// compared: that a number means something else from now on, only its author
// knows.
//
// Threads: a TypeSet is changed by one at a time. Lifetime: it keeps no
// reference to the objects.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_TYPE_CHANGES_H_
#define INSTAR_TOOLS_DIFFER_DWARF_TYPE_CHANGES_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "tools/differ/dwarf/object_debug_info.h"

namespace instar {
namespace differ {

struct TypeLayout;

enum class TypeVerdict {
  // Objects of the old layout are objects of the new one. Enumerators that have
  // come and whose value was not used; a union of the same size with another
  // member; members of another type whose values are the same bytes (bool ->
  // uint8_t, int -> unsigned, enum -> int, T* -> const T*); members that are in
  // a plain structure of their own now, or no longer, at the same places.
  kCompatible,
  // New members lie where there was padding, all others are where they were.
  // What the new ones hold in old objects is what the padding holds: zero in
  // static storage and in memory of calloc(), elsewhere anything.
  kUsesPadding,
  // As it is written, members have moved; but the new members would fit into
  // padding. `advice` says behind which member.
  kFitsPadding,
  // New members behind all others, which are where they were; it has grown.
  kAppended,
  // Members or enumerators have gone, none has come. `advice`: keep them.
  kMembersRemoved,
  // Enumerators have other values than they had, and these may be stored.
  kEnumeratorsMoved,
  // Bases have come, gone, moved, or changed their size.
  kBasesChanged,
  // Virtual functions have come, gone, or have another place in the table; also
  // where a function of a base is overridden now.
  kVirtualsChanged,
  // Anything else: members moved, have another type, were replaced.
  kChanged,
  // The builds know several types of this name, and not all of them are the
  // same in both. Nobody knows which of them the objects are of.
  kAmbiguous,
};

absl::string_view ToString(TypeVerdict verdict);  // "kAppended" -> "appended"

struct MemberChange {
  std::string name;
  std::string old_type, new_type;  // one is empty if it has come or gone
  std::uint64_t old_bit_offset = 0, new_bit_offset = 0;
  std::uint64_t old_bit_size = 0, new_bit_size = 0;

  bool has_come() const { return old_type.empty(); }
  bool has_gone() const { return new_type.empty(); }
};

struct TypeChange {
  std::string name;  // qualified, as type_names.h spells it
  TypeVerdict verdict = TypeVerdict::kChanged;
  std::uint64_t old_size = 0, new_size = 0;  // bytes
  // One sentence: the type, its sizes, and what differs, with offsets.
  std::string message;
  // What its author can do; may be empty.
  std::string advice;
  // It derives from instar::Updatable itself (heap/updatable.h).
  bool is_updatable = false;
  // Of an enumeration, whose values may be kept in integers.
  bool is_enumeration = false;
  // Members that have come, gone, moved, or are of another type or size.
  std::vector<MemberChange> members;
  std::string file;  // of the new definition
  int line = 0;
  // The objects (as Add() was told) whose description differs.
  std::vector<std::string> objects;

  // Where objects of it may exist, in either build.
  //
  // Variables of static and thread storage that are of it or hold it, by name.
  std::vector<std::string> variables;
  // It is a union, or one holds it: what is written is another member.
  bool is_in_union = false;
  // There are pointers or references to it, or to what holds it: objects may be
  // anywhere.
  bool is_pointed_to = false;
  // It is thrown, or asked for its type: objects may be in flight.
  bool is_thrown = false;
  // It is passed or returned by value: a change of its size is one of those
  // functions' signatures.
  bool is_passed_by_value = false;

  // It is a local variable.
  bool is_local_variable = false;

  // As far as debug information tells, objects live in local variables, and end
  // with the function that was compiled for them. (What is passed by value does
  // not: its caller may be of the other build.) It does not tell of casts that
  // have no variable, as ((struct T *)memory)->x, and of copies made as bytes.
  bool is_on_stacks_only() const {
    return variables.empty() && !is_pointed_to && !is_thrown &&
           !is_passed_by_value && is_local_variable;
  }
};

// Types by their names, each with digests of its layouts, which are the same in
// every build.
using TypeDigests = std::map<std::string, std::set<std::uint64_t>>;

class TypeSet {
 public:
  TypeSet();
  ~TypeSet();
  TypeSet(TypeSet&&) noexcept;
  TypeSet& operator=(TypeSet&&) noexcept;

  // Adds the types of an object, which is called the same in both builds.
  void Add(const ObjectDebugInfo& object, absl::string_view name);

  // Types that are declared, but that no object describes, by name.
  std::vector<std::string> Undescribed() const;

 private:
  friend class TypeComparison;
  friend TypeDigests GoneTypes(const TypeSet&, const TypeSet&);
  friend std::vector<std::string> ReturnedTypes(const TypeSet&, const TypeSet&,
                                                const TypeDigests&);
  friend std::vector<std::string> IncomparableTypes(const TypeSet&,
                                                    const TypeSet&);

  struct Use {
    std::uint32_t object;
    std::uint32_t layout;
  };

  std::set<std::uint64_t> DigestsOf(const std::vector<Use>& uses) const;
  bool Describes(const std::string& name) const;
  bool IsUnion(const std::string& name) const;
  std::uint32_t LayoutIndex(TypeLayout layout);

  std::vector<std::string> objects_;
  std::vector<std::unique_ptr<TypeLayout>> layouts_;
  // A hash of a layout -> those that have it.
  absl::flat_hash_map<std::size_t, std::vector<std::uint32_t>> by_hash_;
  std::map<std::string, std::vector<Use>> types_;
  absl::flat_hash_set<std::string> pointed_to_;
  absl::flat_hash_set<std::string> passed_;
  absl::flat_hash_set<std::string> local_;
  absl::flat_hash_set<std::string> with_type_info_;
  absl::flat_hash_set<std::string> declared_;
  absl::flat_hash_map<std::string, absl::flat_hash_set<std::string>> held_by_;
  absl::flat_hash_map<std::string, absl::flat_hash_set<std::string>> variables_;
};

// The types that both builds have, and that differ, by name.
std::vector<TypeChange> CompareTypes(const TypeSet& was, const TypeSet& is);

// The types that the old build has and the new one has not, and of which
// objects may exist all the same: not those that lived on stacks only, and no
// closures.
TypeDigests GoneTypes(const TypeSet& was, const TypeSet& is);

// Of types that the old build has not, names of those that `gone` has, and that
// are laid out in another way now.
std::vector<std::string> ReturnedTypes(const TypeSet& was, const TypeSet& is,
                                       const TypeDigests& gone);

// Types that one of the builds declares only, and the other describes: whether
// they differ is not known.
std::vector<std::string> IncomparableTypes(const TypeSet& was,
                                           const TypeSet& is);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_TYPE_CHANGES_H_
