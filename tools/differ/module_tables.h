// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The tables of a module that are about all of it: its notes, its images, its
// objects and its report (manager/module/generated_module.h,
// updates/update_module.h, tools/differ/update_state.h).

#ifndef INSTAR_TOOLS_DIFFER_MODULE_TABLES_H_
#define INSTAR_TOOLS_DIFFER_MODULE_TABLES_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tools/differ/object.h"
#include "tools/differ/payload.h"
#include "tools/differ/update_state.h"

namespace instar {
namespace differ {

struct ModuleTables {
  std::string update_name;
  const UpdateState* state;
  // In the order of their numbers.
  struct ComparedObject {
    const Object* object;
    bool is_complete;
  };
  std::vector<ComparedObject> objects;
  std::vector<WatchedCode> watched;
  std::set<std::string> still_called;  // names of functions
  std::map<std::string, std::set<std::uint64_t>> gone_types;
  std::string report;  // JSON
};

// As a relocatable object.
absl::Status WriteModuleTables(const ModuleTables& tables,
                               const std::string& path);

}  // namespace differ
}  // namespace instar

#endif  // INSTAR_TOOLS_DIFFER_MODULE_TABLES_H_
