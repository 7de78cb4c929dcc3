// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A static initializer of this module throws, with an exception class of its
// own.

#include <exception>

#include "absl/status/status.h"
#include "manager/module_test/shop.h"
#include "updates/update_module.h"

namespace shop {
namespace {

struct NoStock : std::exception {
  const char* what() const noexcept override { return "no stock"; }
};

struct Presence {
  Presence() { Log().push_back("throwing in"); }
  ~Presence() { Log().push_back("throwing out"); }
} presence;

struct Thrower {
  Thrower() {
    if (Price(1) > 0) throw NoStock();
  }
  ~Thrower() { Log().push_back("never constructed"); }
} thrower;

struct Later {
  Later() { Log().push_back("never reached"); }
} later;

absl::Status Update(instar::UpdatePlan&) { return absl::OkStatus(); }

}  // namespace
}  // namespace shop

INSTAR_UPDATE_MODULE("throwing", shop::Update);
