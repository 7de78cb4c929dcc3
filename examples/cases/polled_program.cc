// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/cases/polled_program.h"

namespace cases {

std::vector<std::string> said;
std::function<void()> in_the_middle;

void Serve() {
  if (in_the_middle) in_the_middle();
  said.push_back("v1");
}

}  // namespace cases
