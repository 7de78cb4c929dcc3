/* Copyright The Instar Authors
   SPDX-License-Identifier: Apache-2.0

   A file that the new version does not have, with a caller of a function that
   has another signature there. */

int helper(int a);

int caller(int x) {
  return helper(x) + helper(x + 1);
}
