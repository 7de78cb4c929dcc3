/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "manager/c/instar.h"
#include "manager/c/sessions_for_test.h"

static int ended;

static void CountEnd(void* data) { ended += *(int*)data; }

static instar_shadow numbers = INSTAR_SHADOW("numbers", int, CountEnd);
static instar_shadow letters = INSTAR_SHADOW("letters", char, NULL);

/* 0, or what is wrong: without a manager, and without a plan. */
static int CheckShadows(void) {
  struct session a = {1}, b = {2};
  int* number;
  if (instar_shadow_find(&numbers, &a) != NULL) return 1;
  if (instar_shadow_detach(&numbers, &a)) return 2;
  number = instar_shadow_attach(&numbers, &a);
  if (number == NULL || *number != 0) return 3;
  *number = 1;
  if (instar_shadow_attach(&numbers, &a) != number) return 4;
  if (instar_shadow_find(&numbers, &a) != number) return 5;
  if (instar_shadow_find(&numbers, &b) != NULL) return 6;
  number = instar_shadow_replace(&numbers, &a);
  if (number == NULL || *number != 0 || ended != 1) return 7;
  *number = 10;
  number = instar_shadow_replace(&numbers, &b);
  if (number == NULL || *number != 0 || ended != 1) return 8;
  *number = 100;
  if (instar_shadow_attach(&letters, &a) == NULL) return 9;
  if (instar_shadow_size(&numbers) != 2) return 10;
  if (!instar_shadow_detach(&numbers, &b) || ended != 101) return 11;
  if (instar_shadow_find(&numbers, &b) != NULL) return 12;
  instar_shadow_detach_all_of(&a);
  if (ended != 111 || instar_shadow_size(&letters) != 0) return 13;
  *(int*)instar_shadow_attach(&numbers, &a) = 1000;
  instar_shadow_end(&numbers);
  instar_shadow_end(&letters);
  if (ended != 1111 || numbers.table != NULL || letters.table != NULL)
    return 14;
  return 0;
}

int main(void) {
  const char* error;
  const int wrong = CheckShadows();
  if (wrong) return fprintf(stderr, "shadows: %d\n", wrong), 1;
  error = instar_start("sessions");
  if (error != NULL) return fprintf(stderr, "%s\n", error), 1;
  instar_run_controlled("server", INSTAR_PASSIVE, Serve, NULL);
  return 0;
}
