// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the program of the polled cases does.

#ifndef INSTAR_EXAMPLES_CASES_POLLED_PROGRAM_H_
#define INSTAR_EXAMPLES_CASES_POLLED_PROGRAM_H_

#include <functional>
#include <string>
#include <vector>

namespace cases {

extern std::vector<std::string> said;

// Called by Serve(), if it is not empty.
extern std::function<void()> in_the_middle;

void Serve();

}  // namespace cases

#endif  // INSTAR_EXAMPLES_CASES_POLLED_PROGRAM_H_
