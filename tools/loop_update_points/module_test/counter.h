// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program whose thread is in an endless loop that calls nothing, with late
// update points.

#ifndef INSTAR_TOOLS_LOOP_UPDATE_POINTS_MODULE_TEST_COUNTER_H_
#define INSTAR_TOOLS_LOOP_UPDATE_POINTS_MODULE_TEST_COUNTER_H_

#include <atomic>

namespace counter {

extern unsigned long count;
extern std::atomic<int> begun;  // by version
void CountForEver();            // version 1

}  // namespace counter

#endif  // INSTAR_TOOLS_LOOP_UPDATE_POINTS_MODULE_TEST_COUNTER_H_
