/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <string.h>

#include "manager/c/counting_for_test.h"
#include "manager/c/instar.h"

int main(void) {
  int begin = 0;
  const char* error = instar_start("counting");
  if (error != NULL) return fprintf(stderr, "%s\n", error), 1;
  error = instar_start("again");
  if (error == NULL || strstr(error, "already") == NULL) return 2;
  if (strchr(instar_version(), '.') == NULL) return 3;
  if (instar_find_exposed("count", sizeof(int)) != NULL) return 4;
  instar_run_controlled("counter", INSTAR_PASSIVE, Count, &begin);
  return 0;
}
