// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Which functions and variables of a build have to do with a type: whose code
// may rely on how it is laid out, and where objects of it lie.
//
//   TypeUseIndex uses;
//   for (each object of the build) uses.Add(*info, "src/shop.o");
//   for (const TypeUser& user : uses.FunctionsOf("shop::Order")) {
//     ... user.object, user.linkage_name ...
//   }
//
// It errs on the side of too many. A function uses a type
// - directly, if one of its parameters, local variables, or results is of it,
//   holds it, or points to it; the same goes for functions that were inlined
//   into it, those that it calls, and variables that its code refers to;
// - else indirectly, if following members and their pointers from what it uses
//   directly leads to the type: o->list->first->price.
// Not seen is what only a cast in an expression names, and what is behind a
// pointer to void.
//
// That a function uses a type does not say that its code depends on what has
// changed: code that both builds have in the same bytes does as well with the
// old layout as with the new one.
//
// All objects of the build are to be given: GCC describes a class that has
// virtual functions only where it emits its table, and what leads from one type
// to another is found in any of them.
//
// Threads: changed by one at a time. Lifetime: it keeps no reference to the
// objects.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_TYPE_USERS_H_
#define INSTAR_TOOLS_DIFFER_DWARF_TYPE_USERS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tools/differ/dwarf/object_debug_info.h"

namespace instar {
namespace differ {

struct TypeUser {
  std::string object;        // as Add() was told
  std::string linkage_name;  // as FunctionSignature has it
  std::string name;
  ObjectPlace place;
  bool is_direct = false;
};

struct TypeHolder {
  std::string object;
  std::string name;  // qualified, as StaticVariable has it
  ObjectPlace place;
  // It is of the type, of an array of it, or has it in its members. Otherwise
  // following its pointers leads to the type.
  bool is_held = false;
};

class TypeUseIndex {
 public:
  TypeUseIndex();
  ~TypeUseIndex();
  TypeUseIndex(TypeUseIndex&&) noexcept;
  TypeUseIndex& operator=(TypeUseIndex&&) noexcept;

  void Add(const ObjectDebugInfo& object, absl::string_view name);

  // By object, in the order that they were added, and place. `type` is the
  // qualified name of a class or an enumeration.
  std::vector<TypeUser> FunctionsOf(absl::string_view type) const;

  // Variables of static and thread storage, in the same order.
  std::vector<TypeHolder> VariablesOf(absl::string_view type) const;

 private:
  class Builder;
  struct Index;

  std::unique_ptr<Index> index_;
};

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_TYPE_USERS_H_
