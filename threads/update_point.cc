// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/update_point.h"

#include <cerrno>

#include "stack/stack_snapshot.h"
#include "threads/internal/pending_request.h"

namespace instar {
namespace threads_internal {

void UpdatePointSlow(absl::string_view name) {
  const int saved_errno = errno;
  ArriveAt(Point{Point::Kind::kExplicit, name, SnapshotOfCaller()});
  errno = saved_errno;
}

}  // namespace threads_internal
}  // namespace instar
