// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A controlled thread that begins when the update has taken effect.
//
//   plan.Add(NewThread("ratings", ThreadKind::kPassive, &RatingsMain));
//
// It is made before anything is changed, so that it fails then if at all
// (threads/parked_thread.h). Undo ends it as a reboot does, with nothing to
// follow. It is detached: the program may end while it runs.

#ifndef INSTAR_UPDATES_MECHANISMS_NEW_THREAD_H_
#define INSTAR_UPDATES_MECHANISMS_NEW_THREAD_H_

#include <functional>
#include <memory>
#include <string>

#include "threads/thread_state.h"
#include "updates/mechanisms/mechanism.h"

namespace instar {

std::shared_ptr<Mechanism> NewThread(std::string name, ThreadKind kind,
                                     std::function<void()> main);

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_NEW_THREAD_H_
