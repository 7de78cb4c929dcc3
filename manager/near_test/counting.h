/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0
 *
 * A part of a program, in C, that keeps most to itself. */

#ifndef INSTAR_MANAGER_NEAR_TEST_COUNTING_H_
#define INSTAR_MANAGER_NEAR_TEST_COUNTING_H_

#ifdef __cplusplus
extern "C" {
#endif

/* Adds 1, or what a new version adds; returns the count. */
int near_count(void);
/* The address of near_count(), as it was taken before any update. */
int (*near_count_pointer(void))(void);
/* Calls `stay` with `argument`; returns 1, or what a new version returns. */
int near_wait(void (*stay)(void*), void* argument);
/* Returns its argument; a new version throws a std::runtime_error. */
int near_check(int value);
/* What a hook has written. */
extern int near_hook_calls;

#ifdef __cplusplus
}
#endif

#endif /* INSTAR_MANAGER_NEAR_TEST_COUNTING_H_ */
