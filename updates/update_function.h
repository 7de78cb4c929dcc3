// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Update functions and how they are put together.
//
//   SetUpdateFunction(thread, InTurn(Change(Redefine(&DoCommand, &NewDoCommand)),
//                                    RebootThread(&NewMain)));
//
// An update function is called with an UpdateContext and answers an Attempt
// (threads/update_request.h, threads/attempt.h). It runs in the thread, at an
// update point, in a continulet of its own; PyMoult (HotSWUP'13), section 2:
// "an update function implements all the operations needed for an update".
//
// InTurn() does one after the other: each is tried until it is done, and is not
// called again; what is done stays done if a later one fails. They need not be
// done at the same update point. Several functions that must switch at the same
// moment are one redefinition (updates/mechanisms/redefine.h).

#ifndef INSTAR_UPDATES_UPDATE_FUNCTION_H_
#define INSTAR_UPDATES_UPDATE_FUNCTION_H_

#include <cstddef>
#include <utility>
#include <vector>

#include "threads/attempt.h"
#include "threads/update_request.h"

namespace instar {

template <typename... Functions>
UpdateFunction InTurn(Functions... functions) {
  std::vector<UpdateFunction> steps;
  (steps.emplace_back(std::move(functions)), ...);
  return [steps = std::move(steps),
          next = std::size_t{0}](UpdateContext& context) mutable {
    while (next < steps.size()) {
      Attempt attempt = steps[next](context);
      if (!attempt.is_done()) return attempt;
      ++next;
    }
    return Attempt::Done();
  };
}

}  // namespace instar

#endif  // INSTAR_UPDATES_UPDATE_FUNCTION_H_
