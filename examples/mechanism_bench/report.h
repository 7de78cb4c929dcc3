// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Measurements for people (a table, a plot) and for programs (JSON).

#ifndef INSTAR_EXAMPLES_MECHANISM_BENCH_REPORT_H_
#define INSTAR_EXAMPLES_MECHANISM_BENCH_REPORT_H_

#include <string>
#include <vector>

#include "examples/mechanism_bench/measurement.h"

namespace mechanism_bench {

// One line each, with a heading.
std::string TableOf(const std::vector<Measurement>& measurements);

// All that is in them, as an array of objects; times in nanoseconds. Over time
// there is a list of each percentile, with null where no request ended.
std::string JsonOf(const std::vector<Measurement>& measurements);

// An SVG document: for each kind and workload the median, the 99th percentile
// and the longest of the requests over the time since the update began, a line
// for each mechanism.
std::string PlotOf(const std::vector<Measurement>& measurements);

}  // namespace mechanism_bench

#endif  // INSTAR_EXAMPLES_MECHANISM_BENCH_REPORT_H_
