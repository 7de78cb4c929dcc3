// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Points that are put where loops go back when the optimizer is done.

#ifndef INSTAR_TOOLS_LOOP_UPDATE_POINTS_LATE_POINTS_H_
#define INSTAR_TOOLS_LOOP_UPDATE_POINTS_LATE_POINTS_H_

#include "tools/loop_update_points/gcc.h"

namespace loop_update_points {

opt_pass* MakeLatePass(gcc::context* context);

}  // namespace loop_update_points

#endif  // INSTAR_TOOLS_LOOP_UPDATE_POINTS_LATE_POINTS_H_
