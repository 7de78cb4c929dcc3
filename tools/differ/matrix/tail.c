/* Copyright The Instar Authors
   SPDX-License-Identifier: Apache-2.0

   What f() jumps to, so that f() is on no stack meanwhile: a function that the
   second version does not have, and one that it has alone. */

void park(void);
int unlikely(int x);

#if VERSION > 1
static __attribute__((noinline)) int fresh(int x) {
  park();
  return unlikely(x) * 2;
}
int split(int x) {
  return fresh(x + 1);
}
#else
static __attribute__((noinline)) int outdated(int x) {
  park();
  return unlikely(x);
}
int split(int x) {
  return outdated(x);
}
#endif
