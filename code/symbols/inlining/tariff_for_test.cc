// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/inlining/tariff_for_test.h"

namespace tariff {

int Total(int amount) { return Tariff(amount).Of(amount); }
int NewRate(int amount) { return 5 * amount; }
int NewTotal(int amount) { return -amount; }
int (*RateItself())(int) { return &Rate; }

}  // namespace tariff
