// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How each patch is applied: all three functions change at a moment when no
// thread of the process is inside of one.

#ifndef INSTAR_EXAMPLES_KSPLICE_PATCH_H_
#define INSTAR_EXAMPLES_KSPLICE_PATCH_H_

#include <chrono>

#include "examples/ksplice/channel.h"
#include "updates/change.h"
#include "updates/mechanisms/redefine.h"
#include "updates/thread_updates.h"

namespace ksplice {

struct Patch {
  decltype(&Seal) seal;
  decltype(&Open) open;
  decltype(&Deliver) deliver;
};

inline void Start(const Patch& patch, instar::ThreadUpdates& update) {
  instar::ChangeOptions options(instar::Stacks::kAllThreads);
  // For as long as that, calls that begin may wait for those that run.
  options.forced_quiescence = std::chrono::seconds(10);
  update.Start(instar::Redefine(instar::Redefinitions()
                                    .Add(&Seal, patch.seal)
                                    .Add(&Open, patch.open)
                                    .Add(&Deliver, patch.deliver)),
               options);
}

}  // namespace ksplice

#endif  // INSTAR_EXAMPLES_KSPLICE_PATCH_H_
