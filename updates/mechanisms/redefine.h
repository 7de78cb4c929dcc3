// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Redefines functions, and slots (code/redefinable.h), once they are on no
// stack: the safe redefinition of PyMoult (HotSWUP'13), section 2.2, as in Opus
// and Ksplice.
//
//   plan.Add(Redefine(&DoCommand, &NewDoCommand));
//   // Several that switch together:
//   plan.Add(Redefine(Redefinitions()
//                         .Add(&Price, &NewPrice)
//                         .Add(&Site::Render, &NewRender)
//                         .AddNamed("shop::Total(int)", &NewTotal)
//                         .Add(discount_slot, &NewDiscount)));
//   plan.Add(RedefineAtOnce(&DoCommand, &NewDoCommand));   // whoever is inside
//
// Activations that are looked for are those of the functions, of their inlined
// copies, and of every version that they were ever redirected to
// (stack/function_set.h); so a version that is being replaced, or undone, must
// be quiescent, too. Of a slot, what it leads to and all that it ever led to
// must be on no stack.
//
// Types are checked when the program is compiled: a function can be redefined
// by one of the same type, a member function by one of the same class and type
// or by a function that takes the object first. Of a function that is given by
// name they are compared at run time (Redefinitions::AddNamed()).
//
// Lifetime: slots outlive what refers to them, and new functions stay where
// they are. Dropping the mechanism leaves in effect what is.

#ifndef INSTAR_UPDATES_MECHANISMS_REDEFINE_H_
#define INSTAR_UPDATES_MECHANISMS_REDEFINE_H_

#include <memory>
#include <type_traits>
#include <utility>

#include "absl/strings/string_view.h"
#include "code/redefinable.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/mechanisms/redefinitions.h"

namespace instar {

struct RedefineOptions {
  // Copies that were inlined into functions which are not redefined with it go
  // on as they are, and are not looked for where they are not known.
  bool ignore_inlined_copies = false;
  // Nobody waits until they are on no stack: see RedefineAtOnce().
  bool at_once = false;
};

std::shared_ptr<Mechanism> Redefine(Redefinitions redefinitions,
                                    RedefineOptions options = {});

// One function.
template <typename F, std::enable_if_t<std::is_function_v<F>, int> = 0>
std::shared_ptr<Mechanism> Redefine(F* from, std::common_type_t<F*> to,
                                    RedefineOptions options = {}) {
  return Redefine(Redefinitions().Add(from, to), options);
}
// The paper's safe_redefine("fun", new_fun, ...).
template <typename F, std::enable_if_t<std::is_function_v<F>, int> = 0>
std::shared_ptr<Mechanism> Redefine(absl::string_view from, F* to,
                                    RedefineOptions options = {}) {
  return Redefine(Redefinitions().AddNamed(from, to), options);
}
template <typename R, typename... A>
std::shared_ptr<Mechanism> Redefine(Redefinable<R(A...)>& slot,
                                    typename Redefinable<R(A...)>::Function to,
                                    RedefineOptions options = {}) {
  return Redefine(Redefinitions().Add(slot, to), options);
}
template <typename C, typename F, typename To,
          std::enable_if_t<std::is_function_v<F>, int> = 0>
std::shared_ptr<Mechanism> Redefine(F C::*from, To to,
                                    RedefineOptions options = {}) {
  return Redefine(Redefinitions().Add(from, to), options);
}

// At once, whoever is inside: calls that begin later reach the new version,
// those that have begun go on in the old one, and so it is when it is undone.
// For functions that some thread is always inside of, where old and new may run
// at the same time: no object that they use is converted in between.
template <typename F, std::enable_if_t<std::is_function_v<F>, int> = 0>
std::shared_ptr<Mechanism> RedefineAtOnce(F* from, std::common_type_t<F*> to) {
  return Redefine(Redefinitions().Add(from, to),
                  {/*ignore_inlined_copies=*/false, /*at_once=*/true});
}
std::shared_ptr<Mechanism> RedefineAtOnce(Redefinitions redefinitions);

namespace updates_internal {

// All redefinitions of a plan, which are one, at the place of the first.
std::shared_ptr<Mechanism> RedefineAll(
    std::shared_ptr<const Redefinitions> redefinitions,
    std::shared_ptr<const RedefineOptions> options);

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_REDEFINE_H_
