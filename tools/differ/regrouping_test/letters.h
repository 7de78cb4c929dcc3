/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * Letters: one is a variable, the others are on the heap. Both builds have
 * these functions. */

#ifndef INSTAR_TOOLS_DIFFER_REGROUPING_TEST_LETTERS_H_
#define INSTAR_TOOLS_DIFFER_REGROUPING_TEST_LETTERS_H_

#ifdef __cplusplus
extern "C" {
#endif

void AddLetter(void);
/* To all of them. */
void Write(const char* text);
/* One letter after the other; the result is valid until the next call. */
const char* Read(void);

#ifdef __cplusplus
}
#endif

#endif /* INSTAR_TOOLS_DIFFER_REGROUPING_TEST_LETTERS_H_ */
