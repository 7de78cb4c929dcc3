// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the module `ratings` gives to those that require it.

#ifndef INSTAR_MANAGER_MODULE_TEST_RATINGS_H_
#define INSTAR_MANAGER_MODULE_TEST_RATINGS_H_

namespace shop {

class Rating {
 public:
  virtual ~Rating();
  virtual int mark() const;
  // How many ratings this copy of the module has made.
  static int made();
  static void Make();
};

}  // namespace shop

#endif  // INSTAR_MANAGER_MODULE_TEST_RATINGS_H_
