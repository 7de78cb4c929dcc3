// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Makes a bundle: one file for several builds of a program, accepted wherever a
// module is (manager/module/module_file.h).
//
//   INSTAR_RETURN_IF_ERROR(
//       WriteBundle("ratings.bundle", {"v1/ratings.so", "v2/ratings.so"}));
//
// Threads: any.

#ifndef INSTAR_MANAGER_MODULE_MODULE_BUNDLE_H_
#define INSTAR_MANAGER_MODULE_MODULE_BUNDLE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace instar {

// Of modules, and of bundles, which are taken apart. The file gets its name at
// the end, in place of what had it.
// Errors: those of ReadAllModules(); InvalidArgument if they are of different
// updates or programs, two are for one build, or one says none; Internal if the
// file cannot be written.
absl::Status WriteBundle(const std::string& path,
                         const std::vector<std::string>& modules);

}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_MODULE_BUNDLE_H_
