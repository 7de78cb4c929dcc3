/* Copyright The Instar Authors
 * SPDX-License-Identifier: Apache-2.0 */

#include "tools/differ/regrouping_test/letters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "letter.h"

static struct letter first = {"me", 1, {"", 0}, NULL};

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

static void Append(struct content* content, const char* text) {
  const size_t length = strlen(text);
  /* What does not fit is left out in part. */
  const size_t room = sizeof content->text - content->used;
  const size_t some = length < room ? length : room;
  memcpy(content->text + content->used, text, some);
  content->used += (unsigned)some;
}

void Write(const char* text) {
  struct letter* letter;
  for (letter = &first; letter != NULL; letter = letter->next) {
    Append(&letter->content, text);
  }
}

const char* Read(void) {
  static char all[256];
  struct letter* letter;
  int at = 0;
  all[0] = 0;
  for (letter = &first; letter != NULL; letter = letter->next) {
    at += snprintf(all + at, sizeof all - (size_t)at, " %d %s \"%.*s\"",
                   letter->number, letter->sender, (int)letter->content.used,
                   letter->content.text);
  }
  return all;
}
