/* Copyright The Instar Authors
   SPDX-License-Identifier: Apache-2.0

   A function that the compiler splits, and changes last: what is called from
   its cold part finds no other part of it on the stack. And one that gets
   another signature. */

void park(void) __attribute__((cold, noinline));
int unlikely(int x) __attribute__((cold, noinline));

__attribute__((noinline)) int split(int x) {
  if (x > 0) {
    park();
    return unlikely(x) + (VERSION > 2);
  }
  return x;
}

#if VERSION > 1
__attribute__((noinline)) int helper(int a, int b) {
  return a * b;
}
void spin(volatile int* kept) {
  for (;;) *kept = helper(*kept, 2);
}
#else
int helper(int a) {
  return a;
}
#endif
