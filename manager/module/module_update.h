// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The update that a loaded module is.
//
//   INSTAR_ASSIGN_OR_RETURN(std::unique_ptr<Update> update,
//                           MakeUpdate(module));
//
// It calls the function that the module's author wrote: the first code of the
// module that runs, but for its static initializers. That function says what is
// to be done and does none of it; nobody is held.
//
// A generated module has no such function: its tables say which functions it
// redefines, all together, and it may export hooks (manager/c/instar_hooks.h).
//
// Lifetime: the update refers to the module's code, and must be gone before the
// module is.
// Threads: one at a time for each module.

#ifndef INSTAR_MANAGER_MODULE_MODULE_UPDATE_H_
#define INSTAR_MANAGER_MODULE_MODULE_UPDATE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "manager/module/module_loader.h"
#include "updates/update.h"

namespace instar {

// Named after the module. Errors: what the author's function returned, with the
// same code; Aborted if it threw.
absl::StatusOr<std::unique_ptr<Update>> MakeUpdate(const LoadedModule& module);

}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_MODULE_UPDATE_H_
