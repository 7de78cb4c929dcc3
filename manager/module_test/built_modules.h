// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where tests find the modules of this folder: //manager/module_test:modules,
// in their `data`.

#ifndef INSTAR_MANAGER_MODULE_TEST_BUILT_MODULES_H_
#define INSTAR_MANAGER_MODULE_TEST_BUILT_MODULES_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace instar {

inline std::string Built(absl::string_view name) {
  return absl::StrCat("manager/module_test/", name);
}

}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_TEST_BUILT_MODULES_H_
