// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

//
// What the names of units say, by which two builds are compared.

#ifndef INSTAR_TOOLS_DIFFER_UNIT_NAMES_H_
#define INSTAR_TOOLS_DIFFER_UNIT_NAMES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tools/differ/object.h"

namespace instar {
namespace differ {

// The table of virtual functions of a class, or a part of one.
bool IsVirtualTable(absl::string_view name);
// What type_info and its name are.
bool IsTypeInfo(absl::string_view name);

// What a coroutine's frame leads to. A suspended coroutine goes on in the code
// that made its frame, and knows its suspend points.
bool IsPartOfCoroutine(absl::string_view name);

// A copy of a function with another signature or without a part of it, which
// GCC has made; it is called by those that were compiled for it alone.
bool IsClone(absl::string_view name);

// Whether this is the unit's linkage name, or its qualified name: "ns::A::f".
bool IsNamed(const Unit& unit, absl::string_view name);

// A function that an update's author has written for the loader
// (manager/c/instar_hooks.h, heap/appended_member.h).
bool IsHook(const Unit& unit);
// Of one that INSTAR_CONVERT has made: the member, "shop::Product::mark_". Else
// empty.
std::string ConvertedMember(const Unit& unit);

// Whether the source says which section it is in: the linker makes an array of
// what all objects have there (__start_SECTION).
bool IsInOwnSection(const Unit& unit);

// The same of a unit in both builds, and of few others.
std::string KeyOf(const Unit& unit);

// Whether other objects know it by a name that is its alone.
bool IsExported(const Unit& unit);

// A name with the number of one lambda or unnamed type in it taken out:
// "_ZZ1fvENKUlvE0_clEv" is "_ZZ1fvENKUlvE#_clEv" and "0". Of a local class,
// whose number may be anywhere or missing, the readable name, which has none,
// and in place of the number the name.
struct Numbered {
  std::string pattern;
  std::string number;
  bool is_class = false;
};

// Itanium C++ ABI 5.1.7: Ul <types> E [<number>] _, and Ut [<number>] _; 5.1.5
// for the discriminators of local classes.
std::vector<Numbered> NumbersIn(absl::string_view name);

// "f(int)::{lambda()" of the readable form of a name that is about one of them.
std::string ScopeOfLambdas(const std::string& name);

// "f(int)::{lambda()#2}" of the readable form of a name that is about it.
std::string ClosureIn(const std::string& name);

// An existing constant of which the module gets a copy, since its value is
// another one.
bool IsReplacedConstant(const Unit& unit);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_UNIT_NAMES_H_
