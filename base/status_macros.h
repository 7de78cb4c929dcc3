// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Shorthand for handing on an absl::Status.
//
//   absl::Status Load(const std::string& path) {
//     INSTAR_RETURN_IF_ERROR(CheckOwner(path));
//     INSTAR_ASSIGN_OR_RETURN(Module module, Open(path));
//     ...
//   }

#ifndef INSTAR_BASE_STATUS_MACROS_H_
#define INSTAR_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the enclosing function if `expression`, an absl::Status, is not
// OK.
#define INSTAR_RETURN_IF_ERROR(expression)         \
  do {                                             \
    absl::Status instar_status = (expression);     \
    if (!instar_status.ok()) return instar_status; \
  } while (false)

// Assigns the value of `expression`, an absl::StatusOr, to `left` (which may
// declare a variable), or returns its error from the enclosing function.
#define INSTAR_ASSIGN_OR_RETURN(left, expression)                    \
  INSTAR_ASSIGN_OR_RETURN_IMPL_(                                     \
      INSTAR_STATUS_MACROS_JOIN_(instar_status_or_, __LINE__), left, \
      expression)

#define INSTAR_ASSIGN_OR_RETURN_IMPL_(result, left, expression) \
  auto result = (expression);                                   \
  if (!result.ok()) return std::move(result).status();          \
  left = *std::move(result)

#define INSTAR_STATUS_MACROS_JOIN_(a, b) INSTAR_STATUS_MACROS_JOIN_IMPL_(a, b)
#define INSTAR_STATUS_MACROS_JOIN_IMPL_(a, b) a##b

#endif  // INSTAR_BASE_STATUS_MACROS_H_
