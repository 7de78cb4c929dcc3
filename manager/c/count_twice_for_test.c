/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>

#include "manager/c/counting_for_test.h"
#include "manager/c/instar.h"

static int captured;

static const char* Capture(void* into) {
  const int* count = instar_find_exposed("count", sizeof(int));
  if (instar_find_exposed("count", sizeof(char)) != NULL) return "a wrong size";
  if (count == NULL) return "no count yet";
  *(int*)into = *count;
  return NULL;
}

static void CountTwice(void* begin) {
  int count = *(int*)begin;
  while (NextLine()) {
    count += 2;
    printf("twice: %d\n", count);
    fflush(stdout);
    *(int*)begin = count;
  }
}

static const char* Unit2(int count) { return count == 1 ? "row" : "rows"; }


static const char* Say(void* what) {
  printf("%s\n", (const char*)what);
  fflush(stdout);
  return NULL;
}

static const char* Fill(instar_plan* plan) {
  instar_plan_redefine_named(plan, "Unit", INSTAR_CODE(Unit2));
  instar_plan_before(plan, Say, Say, "changing");
  instar_plan_reboot(plan, "counter", CountTwice, Count, Capture, &captured);
  return NULL;
}
INSTAR_UPDATE_MODULE("twice", Fill);
