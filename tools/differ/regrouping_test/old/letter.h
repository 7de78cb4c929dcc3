/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0 */

#ifndef INSTAR_TOOLS_DIFFER_REGROUPING_TEST_LETTER_H_
#define INSTAR_TOOLS_DIFFER_REGROUPING_TEST_LETTER_H_

struct letter {
  char sender[4];
  int number;
  char text[12];
  unsigned used;
  struct letter* next;
};

#endif /* INSTAR_TOOLS_DIFFER_REGROUPING_TEST_LETTER_H_ */
