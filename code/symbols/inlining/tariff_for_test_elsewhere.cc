// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/inlining/tariff_for_test.h"

namespace tariff {

int TotalElsewhere(int amount) {
  return Rate(amount) + Tariff(amount).Of(amount);
}

}  // namespace tariff
