/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "manager/c/instar.h"
#include "manager/c/sessions_for_test.h"

static void Forget(void* hits) {
  printf("forgotten: %d\n", *(int*)hits);
  fflush(stdout);
}

static instar_shadow hits = INSTAR_SHADOW("hits", int, Forget);

static void Hit2(struct session* session) {
  int* const count = instar_shadow_attach(&hits, session);
  if (count != NULL) ++*count;
  printf("%d times, of %d sessions: ", count == NULL ? 0 : *count,
         (int)instar_shadow_size(&hits));
  INSTAR_ORIGINAL(Hit)(session);
}

static void CloseSession2(struct session* session) {
  instar_shadow_detach(&hits, session);
  INSTAR_ORIGINAL(CloseSession)(session);
}

static const char* Fill(instar_plan* plan) {
  instar_plan_shadow(plan, &hits);
  instar_plan_redefine(plan, INSTAR_CODE(Hit), INSTAR_CODE(Hit2));
  instar_plan_redefine(plan, INSTAR_CODE(CloseSession),
                       INSTAR_CODE(CloseSession2));
  return NULL;
}
INSTAR_UPDATE_MODULE("hits", Fill);
