// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What points refer to, and what functions and loops say of themselves.

#ifndef INSTAR_TOOLS_LOOP_UPDATE_POINTS_POINTS_H_
#define INSTAR_TOOLS_LOOP_UPDATE_POINTS_POINTS_H_

#include <vector>

#include "tools/loop_update_points/gcc.h"

namespace loop_update_points {

// What a point refers to; null until MakeDeclarations().
extern tree attention;
extern tree early_point;
extern tree inline_point;
extern tree late_point;

void MakeDeclarations();

// Keeps them alive.
void RegisterRoots(const char* plugin);

// Whether a function is to have no points.
bool WantsNone(tree function);

// Whether other files may have callers that were compiled with another copy of
// it.
bool HasCopies(tree function);

// Whether Instar's own code may come to it, with a lock.
bool IsSharedWithInstar(tree function);

bool IsOfSystemHeader(tree function);

// Whether it is the load of a point.
bool LoadsAttention(gimple* statement);

// What a round takes is not known if it calls something. `points` becomes the
// loads of its early points, whose calls do not count.
bool CallsSomething(class loop* of, std::vector<gimple*>* points);

}  // namespace loop_update_points

#endif  // INSTAR_TOOLS_LOOP_UPDATE_POINTS_POINTS_H_
