/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0 */

#include "tools/differ/regrouping_test/letters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "letter.h"

static struct letter first = {"me", 1, "", 0, NULL};

void AddLetter(void) {
  struct letter* letter = calloc(1, sizeof *letter);
  struct letter** last = &first.next;
  if (letter == NULL) abort();
  letter->number = first.number + 1;
  while (*last != NULL) {
    letter->number = (*last)->number + 1;
    last = &(*last)->next;
  }
  memcpy(letter->sender, "you", 4);
  *last = letter;
}

void Write(const char* text) {
  struct letter* letter;
  const size_t length = strlen(text);
  for (letter = &first; letter != NULL; letter = letter->next) {
    if (letter->used + length > sizeof letter->text) continue;
    memcpy(letter->text + letter->used, text, length);
    letter->used += (unsigned)length;
  }
}

const char* Read(void) {
  static char all[256];
  struct letter* letter;
  int at = 0;
  all[0] = 0;
  for (letter = &first; letter != NULL; letter = letter->next) {
    at += snprintf(all + at, sizeof all - (size_t)at, " %d %s '%.*s'",
                   letter->number, letter->sender, (int)letter->used,
                   letter->text);
  }
  return all;
}
