// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A lambda that captures more in the second build. VERSION says which one it
// is.

#include <functional>

std::function<int()> MakeClosure(int i) {
#if VERSION == 1
  return [i] { return i + 1; };
#else
  const int j = i * 100;
  const int k = i * 1000;
  return [j, i, k] { return i + j + k; };
#endif
}
