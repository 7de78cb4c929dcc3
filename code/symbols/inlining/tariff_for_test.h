// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// An inline function and a class, used in two source files of which one is
// compiled in such a way that its copies are not known.

#ifndef INSTAR_CODE_SYMBOLS_INLINING_TARIFF_FOR_TEST_H_
#define INSTAR_CODE_SYMBOLS_INLINING_TARIFF_FOR_TEST_H_

namespace tariff {

inline int Rate(int amount) { return 3 * amount + 1; }

class Tariff {
 public:
  explicit Tariff(int rate) : rate_(rate) {}
  int Of(int amount) const { return rate_ * amount + 2; }

 private:
  int rate_;
};

// In tariff_for_test.cc, which has debug information. Both hold copies.
int Total(int amount);
int NewRate(int amount);
int NewTotal(int amount);
int (*RateItself())(int);

// In tariff_for_test_elsewhere.cc.
int TotalElsewhere(int amount);

}  // namespace tariff

#endif  // INSTAR_CODE_SYMBOLS_INLINING_TARIFF_FOR_TEST_H_
