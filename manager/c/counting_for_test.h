/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0 */

#ifndef INSTAR_MANAGER_C_COUNTING_FOR_TEST_H_
#define INSTAR_MANAGER_C_COUNTING_FOR_TEST_H_

/* Waits for a line in a blocking region; 0 at the end of the input. */
int NextLine(void);

/* Counts lines from *begin (an int) on, and says how many there are. */
void Count(void* begin);

#endif /* INSTAR_MANAGER_C_COUNTING_FOR_TEST_H_ */
