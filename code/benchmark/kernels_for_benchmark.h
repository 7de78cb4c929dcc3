// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Small real workloads, compiled several times: as plain code
// (instar::plain_kernels), as updatable code (instar::updatable_kernels), in
// two ways that call a trace function, and in two that have update points in
// loops. Their containers hold types of their own namespace, so that the linker
// shares no instantiation between them.

#ifndef INSTAR_CODE_BENCHMARK_KERNELS_FOR_BENCHMARK_H_
#define INSTAR_CODE_BENCHMARK_KERNELS_FOR_BENCHMARK_H_

#include <cstdint>

#define INSTAR_DECLARE_KERNELS(name)                                      \
  namespace instar {                                                      \
  namespace name {                                                        \
  uint64_t ParseJson();        /* a document of 1,000 objects */          \
  uint64_t FillHashMap();      /* 20,000 insertions and lookups */        \
  uint64_t Sort();             /* 20,000 records by a compare function */ \
  uint64_t MultiplyMatrices(); /* 96 x 96 doubles */                      \
  uint64_t Recurse();          /* fib(22), and a tree of 10,000 nodes */  \
  }                                                                       \
  }

INSTAR_DECLARE_KERNELS(plain_kernels)
INSTAR_DECLARE_KERNELS(updatable_kernels)
INSTAR_DECLARE_KERNELS(instrumented_kernels)  // -finstrument-functions
INSTAR_DECLARE_KERNELS(trace_pc_kernels)      // -fsanitize-coverage=trace-pc
INSTAR_DECLARE_KERNELS(late_kernels)          // loop_update_points = "late"
INSTAR_DECLARE_KERNELS(early_kernels)         // loop_update_points = "early"

#undef INSTAR_DECLARE_KERNELS

#endif  // INSTAR_CODE_BENCHMARK_KERNELS_FOR_BENCHMARK_H_
