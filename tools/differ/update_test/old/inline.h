// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#ifndef INSTAR_TOOLS_DIFFER_UPDATE_TEST_OLD_INLINE_H_
#define INSTAR_TOOLS_DIFFER_UPDATE_TEST_OLD_INLINE_H_

inline __attribute__((noinline)) int shared_inline(int x) {
  static int calls = 0;
  return x * 10 + ++calls;
}
template <class T>
__attribute__((noinline)) T twice(T x) {
  return x + x;
}

#endif  // INSTAR_TOOLS_DIFFER_UPDATE_TEST_OLD_INLINE_H_
