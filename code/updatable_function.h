// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A function that can be redefined on every processor: by its entry where
// functions have one (code/entries_here.h), and by a slot where they have none
// (code/redefinable.h). So programs and their updates are written once.
//
// In a header, and in the source file that defines it:
//
//     INSTAR_UPDATABLE_FUNCTION(int, Price, (int item));
//
//     INSTAR_UPDATABLE_FUNCTION_BODY(int, Price, (int item)) { return 2 * item; }
//
// It is called by its name, and redefined by its name, without an `&`:
//
//     plan.Redefine(Price, &NewPrice);
//
// Not of an overloaded function, of a member function, or of one that is
// inline, static or a template: a slot has a name of its own. Nor with default
// arguments. Where there are slots, the address of the function (`&Price`) is
// that of the slot: what wants a pointer to a function is given a lambda that
// calls it. The body is then PriceAsCompiled(), and so messages call it.

#ifndef INSTAR_CODE_UPDATABLE_FUNCTION_H_
#define INSTAR_CODE_UPDATABLE_FUNCTION_H_

#include "code/entries_here.h"
#ifdef INSTAR_NO_FUNCTION_ENTRIES
#include "code/redefinable.h"
#endif

#ifdef INSTAR_NO_FUNCTION_ENTRIES

#define INSTAR_UPDATABLE_FUNCTION(Result, name, parameters) \
  Result name##AsCompiled parameters;                       \
  extern ::instar::Redefinable<Result parameters>& name

#define INSTAR_UPDATABLE_FUNCTION_BODY(Result, name, parameters)             \
  static ::instar::code_internal::LastingSlot<Result parameters> name##Slot( \
      &name##AsCompiled);                                                    \
  ::instar::Redefinable<Result parameters>& name = name##Slot.slot;          \
  Result name##AsCompiled parameters

namespace instar {
namespace code_internal {

// Never destroyed: threads may call it while the process ends.
template <typename Signature>
union LastingSlot {
  explicit constexpr LastingSlot(
      typename Redefinable<Signature>::Function original)
      : slot(original) {}
  ~LastingSlot() {}

  Redefinable<Signature> slot;
};

}  // namespace code_internal
}  // namespace instar

#else

#define INSTAR_UPDATABLE_FUNCTION(Result, name, parameters) \
  Result name parameters
#define INSTAR_UPDATABLE_FUNCTION_BODY(Result, name, parameters) \
  Result name parameters

#endif  // INSTAR_NO_FUNCTION_ENTRIES

#endif  // INSTAR_CODE_UPDATABLE_FUNCTION_H_
