// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/plan_test/depot_for_test.h"

namespace instar {
namespace updates_test {

Depot& TheDepot() {
  static Depot& depot = *new Depot;
  return depot;
}

}  // namespace updates_test
}  // namespace instar
