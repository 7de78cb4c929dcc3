// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#ifndef INSTAR_CODE_PROGRAM_CHECK_FOLDED_FUNCTIONS_FOR_TEST_H_
#define INSTAR_CODE_PROGRAM_CHECK_FOLDED_FUNCTIONS_FOR_TEST_H_

namespace instar {
namespace code_test {

// The same code under two names.
int Price(int a);
int Weight(int a);

// One function under two names.
extern "C" int instar_test_declared(int a);
extern "C" int instar_test_alias(int a);

// Has a complete and a base constructor, which are one.
class Counter {
 public:
  explicit Counter(int start);
  virtual ~Counter();
  int count() const;

 private:
  int count_;
};

int Other(int a);

}  // namespace code_test
}  // namespace instar

#endif  // INSTAR_CODE_PROGRAM_CHECK_FOLDED_FUNCTIONS_FOR_TEST_H_
