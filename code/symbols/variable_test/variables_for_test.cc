// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/variable_test/variables_for_test.h"

namespace kept {

int global = 1;
std::string text = "before";
const int table[4] = {1, 2, 3, 4};
thread_local int per_thread = 5;
int KeptPlainC = 6;
int Holder::member = 8;

static int file_local = 9;
static thread_local int local_per_thread = 10;

namespace {
int hidden = 11;
}  // namespace

int CountCalls() {
  static int calls = 0;
  return ++calls;
}
int CountCalls(double) {
  static int calls = 100;
  return ++calls;
}
extern "C" int KeptCountCallsInC() {
  static int c_calls = 0;
  return ++c_calls;
}

int* FileLocal() { return &file_local; }
int* Anonymous() { return &hidden; }
int* FileLocalPerThread() { return &local_per_thread; }
int* TemplateMember() { return &TemplateHolder<int>::member; }

}  // namespace kept
