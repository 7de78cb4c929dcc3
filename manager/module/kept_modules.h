// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The modules that stay loaded. Internal to this package.

#ifndef INSTAR_MANAGER_MODULE_KEPT_MODULES_H_
#define INSTAR_MANAGER_MODULE_KEPT_MODULES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "manager/module/module_state.h"
#include "manager/module/scan/module_map.h"
#include "updates/update_module.h"

namespace instar {
namespace manager_internal {

// A module that was kept, as those that require it look for it, and as it is
// used again.
struct KeptModule {
  std::string update_name;
  std::string soname;       // by which builds are told apart
  std::string load_soname;  // by which loaded objects are
  std::string copy_name;    // of its PrivateCopy
  void* handle;

  // Of the bytes of its file, which the soname tells apart unless somebody has
  // changed them since.
  std::size_t size;
  std::size_t hash;
  std::vector<std::string> required;  // their load_sonames
  const UpdateModuleEntry* entry;     // null: a generated one
  // Null: it has been closed, and is not used again.
  std::shared_ptr<const ModuleState> state;
  bool is_in_use;  // a LoadedModule has it, or it is about to be unloaded

  std::uintptr_t load_base;
  // Of a generated one.
  std::string path;  // of its file
  std::string build_id;
  std::uint64_t size_in_memory;
  std::vector<std::uintptr_t> image_bases;
  std::shared_ptr<const ModuleMap> map;
  std::string why_kept;  // when it was to be unloaded; empty: it never was
};

// A module that was loaded, kept or not, and is bound to others.
struct BoundModule {
  std::string update_name;
  std::string load_soname;
  std::vector<std::string> required;  // the load_sonames of the others
};

struct KeptModules {
  std::mutex mutex;
  std::vector<BoundModule> bound;  // some may be loaded no more
  std::vector<KeptModule> kept;    // in the order in which they were loaded
  std::uint32_t serial = 0;        // of the latest one that was loaded
};

// Never destroyed: modules stay loaded until the process ends.
KeptModules& TheKeptModules();

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_KEPT_MODULES_H_
