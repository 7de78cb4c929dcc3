// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What code of an update's author answered while threads stand still. Internal
// to this package.

#ifndef INSTAR_UPDATES_MECHANISMS_INTERNAL_ATTEMPT_OF_AUTHOR_H_
#define INSTAR_UPDATES_MECHANISMS_INTERNAL_ATTEMPT_OF_AUTHOR_H_

#include <utility>

#include "absl/status/status.h"
#include "base/no_allocation.h"
#include "threads/attempt.h"

namespace instar {
namespace updates_internal {

// It is copied, as that allocates.
inline Attempt AttemptOfAuthor(absl::Status status) {
  if (status.ok()) return Attempt::Done();
  const AuthorsCode its_error;
  return Attempt::Failed(std::move(status));
}

}  // namespace updates_internal
}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_INTERNAL_ATTEMPT_OF_AUTHOR_H_
