// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the command line says to the explorer. Internal to this package: users
// see ReadExplorerFlags().

#ifndef INSTAR_TOOLS_EXPLORER_EXPLORER_FLAGS_H_
#define INSTAR_TOOLS_EXPLORER_EXPLORER_FLAGS_H_

#include <cstddef>

namespace instar {

struct ExplorerFlags {
  std::size_t limit = 0;  // 0: none
  int jobs = 0;           // 0: one for each core
};
// Written before anything is explored.
extern ExplorerFlags explorer_flags;

}  // namespace instar

#endif  // INSTAR_TOOLS_EXPLORER_EXPLORER_FLAGS_H_
