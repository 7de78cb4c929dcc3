// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The program that throw_benchmark compares with: the same exceptions, and
// nothing of Instar. Prints the nanoseconds that one takes.

#include <cstdio>
#include <cstdlib>

#include "stack/testing/throw_through_frames.h"

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 0;
  if (count <= 0) return 1;
  std::printf("%f\n", instar::TimeThrows(count));
}
