// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/kept_modules.h"

namespace instar {
namespace manager_internal {

KeptModules& TheKeptModules() {
  static KeptModules& modules = *new KeptModules;
  return modules;
}

}  // namespace manager_internal
}  // namespace instar
