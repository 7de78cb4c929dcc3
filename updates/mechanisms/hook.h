// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A function of the update's author, called while the threads stand still.
//
//   plan.Add(MakeHook("hook that opens the cache", &OpenCache, &CloseCache));
//
// It takes no lock of the program (updates/mechanisms/mechanism.h), unless the
// threads are held where they own none, at a named update point. Without `undo`
// the update cannot be undone, and what it did stays if the update fails.

#ifndef INSTAR_UPDATES_MECHANISMS_HOOK_H_
#define INSTAR_UPDATES_MECHANISMS_HOOK_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "updates/mechanisms/mechanism.h"

namespace instar {

using Hook = std::function<absl::Status()>;

std::shared_ptr<Mechanism> MakeHook(std::string name, Hook hook,
                                    Hook undo = nullptr);

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_HOOK_H_
