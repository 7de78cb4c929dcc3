// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Variables of every kind, for the tests of //code/symbols:variable to find.

#ifndef INSTAR_CODE_SYMBOLS_VARIABLE_TEST_VARIABLES_FOR_TEST_H_
#define INSTAR_CODE_SYMBOLS_VARIABLE_TEST_VARIABLES_FOR_TEST_H_

#include <string>

namespace kept {

extern int global;
extern std::string text;
extern const int table[4];
extern thread_local int per_thread;
extern "C" int KeptPlainC;

struct Holder {
  static int member;
};

template <typename T>
struct TemplateHolder {
  static T member;
};
template <typename T>
T TemplateHolder<T>::member = 0;

inline int inline_variable = 7;

// Each counts its calls in a static variable of its own.
int CountCalls();
int CountCalls(double);  // an overload
extern "C" int KeptCountCallsInC();

// The addresses of what cannot be named from outside.
int* FileLocal();           // kept::file_local, one of two
int* OtherFileLocal();      // the other one
int* Anonymous();           // kept::(anonymous namespace)::hidden
int* FileLocalPerThread();  // kept::local_per_thread

int* TemplateMember();

}  // namespace kept

#endif  // INSTAR_CODE_SYMBOLS_VARIABLE_TEST_VARIABLES_FOR_TEST_H_
