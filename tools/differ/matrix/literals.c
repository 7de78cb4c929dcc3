/* Copyright The Instar Authors
   SPDX-License-Identifier: Apache-2.0

   Variables without names, which the compiler numbers: the second version has
   one more, before the others. */

struct box {
  int size;
};

#if VERSION > 1
static struct box* const extra_box = &(struct box){1000};
static __attribute__((noinline)) int extra(void) {
  return extra_box->size++;
}
#endif
static struct box* const one_box = &(struct box){10};
static __attribute__((noinline)) int one(int n) {
  return one_box->size += n;
}
static struct box* const two_box = &(struct box){20};
static __attribute__((noinline)) int two(int n) {
  return two_box->size += VERSION * n;
}

int literals(int n) {
#if VERSION > 1
  n += extra() - 1000;
#endif
  return one(n) * 100 + two(n);
}
