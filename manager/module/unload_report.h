// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What becomes of modules that are to be unloaded
// (manager/module/module_unloader.h).

#ifndef INSTAR_MANAGER_MODULE_UNLOAD_REPORT_H_
#define INSTAR_MANAGER_MODULE_UNLOAD_REPORT_H_

#include <cstddef>
#include <string>
#include <vector>

namespace instar {

// A generated module that is loaded, and whose update is not applied.
struct KeptReport {
  std::string update;
  std::string module;  // as the dynamic linker knows it
  // Why it was not unloaded when that was asked for last; empty: it never was.
  std::string because;
};

struct UnloadReport {
  std::string update;
  std::size_t unloaded = 0;  // modules: an update may have been loaded again
  std::vector<KeptReport> kept;
};

}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_UNLOAD_REPORT_H_
