// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A module with thread-local variables. With BYTES it has so many of them,
// accessed at a fixed place (-ftls-model=initial-exec), that no process has
// room for them.

#include <string>

#include "absl/status/status.h"
#include "manager/module_test/shop.h"
#include "updates/update_module.h"

namespace shop {
namespace {

#ifdef BYTES
thread_local char counts[BYTES];
#else
thread_local int counts[1] = {40};
thread_local std::string name = "a name that is longer than fifteen letters";
#endif

absl::Status Update(instar::UpdatePlan&) {
  ++counts[0];
#ifndef BYTES
  Log().push_back(std::to_string(++counts[0]) + " " + name);
#endif
  return absl::OkStatus();
}

}  // namespace
}  // namespace shop

INSTAR_UPDATE_MODULE("thread_locals", shop::Update);
