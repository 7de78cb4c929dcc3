// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the plugin needs of the compiler.

#ifndef INSTAR_TOOLS_LOOP_UPDATE_POINTS_GCC_H_
#define INSTAR_TOOLS_LOOP_UPDATE_POINTS_GCC_H_

// In the order that these headers need.
// clang-format off
#include "gcc-plugin.h"
#include "plugin-version.h"
#include "tree.h"
#include "cp/cp-tree.h"
#include "c-family/c-common.h"
#include "tree-pass.h"
#include "context.h"
#include "function.h"
#include "basic-block.h"
#include "gimple.h"
#include "gimple-iterator.h"
#include "tree-cfg.h"
#include "cfganal.h"
#include "cfghooks.h"
#include "cfgloop.h"
#include "dominance.h"
#include "tree-ssa-loop.h"
#include "tree-ssa-loop-niter.h"
#include "tree-scalar-evolution.h"
#include "fold-const.h"
#include "predict.h"
#include "profile-count.h"
#include "ssa.h"
#include "stringpool.h"
#include "attribs.h"
#include "diagnostic-core.h"
// clang-format on

#endif  // INSTAR_TOOLS_LOOP_UPDATE_POINTS_GCC_H_
