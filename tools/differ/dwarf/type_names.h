// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What types and functions of an object are called. A type is spelled in one
// way, whatever typedefs it was written with, and in the same way in two
// builds. Internal to this package.
//
//   shop::Order        a class; (anonymous namespace)::Order; f(int)::Local
//   Order const*       cv-qualifiers behind what they qualify
//   char[3][4]         arrays, int(char*, ...) functions
//   div_t              struct { int quot, rem; } by its typedef
//   shop::Order::{type of u}, f(int)::{lambda(int)#1}, {enum kRed}
//                      what has no name: by the member or variable, by the
//                      order among those of one signature, by its first
//                      enumerator
//
// Threads: not more than one at a time, as it remembers what it has spelled.

#ifndef INSTAR_TOOLS_DIFFER_DWARF_TYPE_NAMES_H_
#define INSTAR_TOOLS_DIFFER_DWARF_TYPE_NAMES_H_

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "tools/differ/dwarf/die_tree.h"

namespace instar {
namespace differ {

class TypeNames {
 public:
  enum class Qualifiers {
    kSpelled,
    kLeftOut,  // const and volatile, behind pointers, too
  };

  explicit TypeNames(const DieTree& dies,
                     Qualifiers qualifiers = Qualifiers::kSpelled);

  // A type; kNoDie is void.
  const std::string& Spell(DieIndex type);

  // The same without const and volatile around all of it.
  const std::string& SpellUnqualified(DieIndex type);

  // A class, enumeration, variable or member, with what it is in.
  std::string QualifiedName(DieIndex die);

  // "shop::Site::Sell(int) const"; a function of C by its name alone.
  std::string FunctionName(DieIndex function);

  // The scopes around it: "shop::Site::".
  std::string ScopeOf(DieIndex die);

  // The parameters, without those that the compiler adds: "int, char*, ...".
  std::string ParametersOf(DieIndex function);

  // Behind typedefs, const and the like.
  DieIndex Behind(DieIndex type) const;

 private:
  std::string Describe(DieIndex type);
  std::string Qualified(std::string name, absl::string_view with);
  std::string DescribeArray(DieIndex type);
  std::string NameOfClass(DieIndex die);
  std::string NameOfNameless(DieIndex die);
  bool IsConstMember(DieIndex function) const;
  DieIndex CallOperatorOf(DieIndex closure) const;
  int OrderOfLambda(DieIndex closure, const std::string& parameters);
  void FindNamers();

  const DieTree& dies_;
  const Qualifiers qualifiers_;
  // A type without a name -> the entry that it is called after.
  absl::flat_hash_map<DieIndex, DieIndex> namers_;
  // A type without a name -> the member without a name that is of it.
  absl::flat_hash_map<DieIndex, DieIndex> nameless_members_;
  absl::flat_hash_map<DieIndex, std::string> spelled_;
  absl::flat_hash_map<DieIndex, std::string> scopes_;
  int level_ = 0;
};

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_DWARF_TYPE_NAMES_H_
