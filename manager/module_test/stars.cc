// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Requires `ratings`, and derives from its class.

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "manager/module_test/ratings.h"
#include "manager/module_test/shop.h"
#include "updates/update_module.h"

namespace shop {
namespace {

class Stars : public Rating {
 public:
  int mark() const override { return Rating::mark() + 100; }
};

absl::Status ShowStars(instar::ThreadUpdates&) {
  const Stars stars;
  const Rating& rating = stars;
  Log().push_back(absl::StrCat("stars ",
                               dynamic_cast<const Stars&>(rating).mark(),
                               " made ", Rating::made()));
  return absl::OkStatus();
}

}  // namespace
}  // namespace shop

INSTAR_THREAD_UPDATES_MODULE("stars", shop::ShowStars);
