/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0 */

#ifndef INSTAR_MANAGER_C_SESSIONS_FOR_TEST_H_
#define INSTAR_MANAGER_C_SESSIONS_FOR_TEST_H_

/* There is no room in it for more. */
struct session {
  int number;
};

struct session* OpenSession(int number);
void CloseSession(struct session* session);
/* Says so. */
void Hit(struct session* session);

/* Lines of "o1" (open), "h1" (hit), "c1" (close), of sessions 0 to 9. */
void Serve(void* unused);

#endif /* INSTAR_MANAGER_C_SESSIONS_FOR_TEST_H_ */
