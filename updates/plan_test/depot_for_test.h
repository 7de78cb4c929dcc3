// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A class with a function that has been inlined into another source file, where
// its name is not to be seen.

#ifndef INSTAR_UPDATES_PLAN_TEST_DEPOT_FOR_TEST_H_
#define INSTAR_UPDATES_PLAN_TEST_DEPOT_FOR_TEST_H_

#include <functional>
#include <utility>

#include "heap/updatable.h"

namespace instar {
namespace updates_test {

struct Depot : Updatable<Depot> {
  // Calls it inside of the depot.
  int Visit(const std::function<void()>& call) {
    call();
    return goods;
  }
  int goods = 7;
};

struct DepotV2 : Depot {
  explicit DepotV2(Depot&& old) noexcept : Depot(std::move(old)) {}
  int marks = 1;
};

Depot& TheDepot();

// In depot_for_test_elsewhere.cc: visits it.
int GoThere(const std::function<void()>& call);

}  // namespace updates_test
}  // namespace instar

#endif  // INSTAR_UPDATES_PLAN_TEST_DEPOT_FOR_TEST_H_
