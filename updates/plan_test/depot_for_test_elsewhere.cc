// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/plan_test/depot_for_test.h"

namespace instar {
namespace updates_test {

int GoThere(const std::function<void()>& call) {
  // What follows keeps the call from being the last, which leaves no frame.
  return TheDepot().Visit(call) + 1;
}

}  // namespace updates_test
}  // namespace instar
