// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Loops that call nothing updatable, compiled with update points: late ones
// (late_loops) and early ones (early_loops).

#ifndef INSTAR_THREADS_UPDATE_POINT_TEST_LOOPS_FOR_TEST_H_
#define INSTAR_THREADS_UPDATE_POINT_TEST_LOOPS_FOR_TEST_H_

#include <atomic>

#define INSTAR_DECLARE_LOOPS(name)                                      \
  namespace name {                                                      \
  extern unsigned long sum;        /* in plain memory; they write it */ \
  extern std::atomic<int> unwound; /* destructors that they have run */ \
  void SumForEver();                                                    \
  void SumUntil(const std::atomic<bool>& stop);                         \
  void SumInTemplate(const std::atomic<bool>& stop); /* in one */       \
  /* Adds 1 to both in each round: equal where memory is as the source  \
     says. */                                                           \
  struct Twins {                                                        \
    unsigned long first, second;                                        \
  };                                                                    \
  void CountUntil(const std::atomic<bool>& stop, Twins& twins);         \
  }

// Outside of namespace instar, whose inline functions and templates have no
// points.
INSTAR_DECLARE_LOOPS(late_loops)
INSTAR_DECLARE_LOOPS(early_loops)

#undef INSTAR_DECLARE_LOOPS

#endif  // INSTAR_THREADS_UPDATE_POINT_TEST_LOOPS_FOR_TEST_H_
