// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/internal/built_in.h"

#include "absl/strings/str_cat.h"

namespace instar {
namespace updates_internal {

absl::Status CheckThreadOf(const UpdateContext& context,
                           const std::string& thread_name) {
  if (context.thread().name() == thread_name) return absl::OkStatus();
  const AuthorsCode its_error;
  return absl::InvalidArgumentError(absl::StrCat(
      "it is an update function of thread '", context.thread().name(), "'"));
}

}  // namespace updates_internal
}  // namespace instar
