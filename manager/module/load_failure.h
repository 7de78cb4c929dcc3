// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Why a module was not loaded, with the remedy. Internal to this package.
//
// Threads: any. Takes the locks of the dynamic linker.

#ifndef INSTAR_MANAGER_MODULE_LOAD_FAILURE_H_
#define INSTAR_MANAGER_MODULE_LOAD_FAILURE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "manager/module/module_file.h"

namespace instar {
namespace manager_internal {

// FailedPrecondition: "FILE cannot be loaded: REASON".
absl::Status Refuse(const ModuleFile& file, absl::string_view reason);

// What the dynamic linker says, or better: which symbols nobody defines.
// `required`: handles of modules that it is bound to, beside the program.
absl::Status ExplainLoadFailure(const ModuleFile& file,
                                absl::Span<void* const> required,
                                absl::string_view linker_says);

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_LOAD_FAILURE_H_
