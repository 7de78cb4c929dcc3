// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What stays of the program. Commands on standard input: show, load FILE, undo.

#include <stdio.h>
#include <string.h>

extern "C" const char* HarnessLoad(const char*);
extern "C" const char* HarnessUndo();

extern "C" void* own_address(int n);
void* call_hidden(int n);
int thread_locals();
int through_tables(int n);
int tail_call(int n);
int catches(int n);
int by_table(int n);
int choice(int n);

thread_local int shared_tls = 40;
int outer(int n) { return n * 3; }
int thrower(int n) {
  if (n > 2) throw n;
  return n;
}

static void* const own = reinterpret_cast<void*>(&own_address);
static void* const hidden = call_hidden(0);

static void Show() {
  printf("addresses: %d %d\n", own_address(1) == own, call_hidden(1) == hidden);
  printf("thread-local: %d\n", thread_locals());
  printf("through tables: %d\n", through_tables(4));
  printf("tail call: %d\n", tail_call(5));
  printf("catches: %d %d\n", catches(1), catches(8));
  printf("by table: %d %d %d\n", by_table(0), by_table(1), by_table(2));
  for (int i = 0; i < 6; i++) printf("choice(%d): %d\n", i, choice(i));
}

int main() {
  char line[4096];
  while (fgets(line, sizeof(line), stdin) != nullptr) {
    line[strcspn(line, "\n")] = '\0';
    const char* error = nullptr;
    if (strcmp(line, "show") == 0) {
      Show();
    } else if (strcmp(line, "undo") == 0) {
      error = HarnessUndo();
    } else {
      error = HarnessLoad(line + strlen("load "));
    }
    if (error != nullptr) printf("%.4s: %s\n", line, error);
    fflush(stdout);
  }
  return 0;
}
