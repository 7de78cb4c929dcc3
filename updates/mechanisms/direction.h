// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#ifndef INSTAR_UPDATES_MECHANISMS_DIRECTION_H_
#define INSTAR_UPDATES_MECHANISMS_DIRECTION_H_

namespace instar {

// What an update is about to do.
enum class Direction {
  kApply,
  kUndo,
  // Nothing: it asks what would be in the way. The threads that are stopped are
  // some of them then, as a rule one.
  kCheck,
};

}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_DIRECTION_H_
