// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A module that has a variable, and changes it if something has been done
// before.

#include <iostream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "manager/module_test/shop.h"
#include "updates/update_module.h"

namespace shop {
namespace {

int calls = 0;

absl::Status Change(instar::UpdatePlan&) {
  if (!Log().empty()) ++calls;
  if (calls < 0) std::cout << "it may use what the standard library has\n";
  Log().push_back(absl::StrCat("calls ", calls));
  return absl::OkStatus();
}

}  // namespace
}  // namespace shop

INSTAR_UPDATE_MODULE("changing", shop::Change);
