// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Points that are put into loops as the front end has read them.

#ifndef INSTAR_TOOLS_LOOP_UPDATE_POINTS_EARLY_POINTS_H_
#define INSTAR_TOOLS_LOOP_UPDATE_POINTS_EARLY_POINTS_H_

#include "tools/loop_update_points/gcc.h"

namespace loop_update_points {

// Whether only loops without a condition, or with a constant one, get them.
extern bool is_late_mode;

// Of GCC's events. A function has been read, and nothing has been made of it.
void OnFunction(void* function_of_event, void*);
// The function has been finished. GCC 14 concludes only now that it throws
// nothing: callers that follow would drop what an exception has to run.
void OnFinishedFunction(void* function_of_event, void*);

// After inlining, and before loops are optimized: takes the early points out of
// innermost loops that call nothing and are known to end.
opt_pass* MakeEarlyPass(gcc::context* context);

}  // namespace loop_update_points

#endif  // INSTAR_TOOLS_LOOP_UPDATE_POINTS_EARLY_POINTS_H_
