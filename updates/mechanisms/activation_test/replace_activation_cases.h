// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions whose activations the tests replace, compiled at several levels of
// optimization, each in a namespace of its own (INSTAR_CASES).

#ifndef INSTAR_UPDATES_MECHANISMS_ACTIVATION_TEST_REPLACE_ACTIVATION_CASES_H_
#define INSTAR_UPDATES_MECHANISMS_ACTIVATION_TEST_REPLACE_ACTIVATION_CASES_H_

#include <functional>
#include <string>
#include <vector>

namespace instar {

// What the functions call where the test wants to act. Opaque to them.
void Point();
extern thread_local std::function<void()> at_point;

// Where destructors write their names.
extern thread_local std::vector<std::string> destroyed;

struct Tracer {
  explicit Tracer(const char* name) : name(name) {}
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;
  ~Tracer();
  const char* name;
};

struct Pair {
  long whole;
  double part;
};

#define INSTAR_DECLARE_CASES(cases)                                   \
  namespace cases {                                                   \
  void FillList(std::vector<int>& list, int size);                    \
  /* Calls FillList() with registers and locals of its own in use. */ \
  long CallFillList(std::vector<int>& list, int size);                \
  double Average(double a, double b);                                 \
  double CallAverage(double a);                                       \
  Pair Split(double a);                                               \
  Pair CallSplit(double a);                                           \
  int& Choose(int& a);                                                \
  std::string Spell(int n);                                           \
  std::string CallSpell(int n);                                       \
  int Depth(int n);                                                   \
  int WithNoexceptAbove(int n);                                       \
  int WithDestructorAbove(int n);                                     \
  int WithRethrowAbove(int n);                                        \
  int WithSwallowerAbove(int n);                                      \
  int InHandler(int n);                                               \
  int CallInHandler(int n);                                           \
  int CallAndCatch(int n); /* of Depth(); -7 if an exception came */  \
  struct Counter {                                                    \
    int Count(int n);                                                 \
    int total = 0;                                                    \
  };                                                                  \
  }

INSTAR_DECLARE_CASES(level0)
INSTAR_DECLARE_CASES(level2)
INSTAR_DECLARE_CASES(level3)

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_ACTIVATION_TEST_REPLACE_ACTIVATION_CASES_H_
