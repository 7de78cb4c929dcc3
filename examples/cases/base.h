// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the update base brings, and the update dependent uses.

#ifndef INSTAR_EXAMPLES_CASES_BASE_H_
#define INSTAR_EXAMPLES_CASES_BASE_H_

#include <string>

namespace cases {

void BaseGreet(const std::string& whom);

}  // namespace cases

#endif  // INSTAR_EXAMPLES_CASES_BASE_H_
