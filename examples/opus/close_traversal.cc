// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The security update: the target is decoded first, and looked at then. What
// would end the name of a file early is refused, too.
//
//   tools/bazelw run //examples/opus:close_traversal

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "examples/opus/files.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace file_server {
namespace {

absl::StatusOr<std::string> SafeReadFile(const std::string& target) {
  const std::string path = Decode(WithoutQuery(target));
  if (GoesUp(path) || absl::StrContains(path, absl::string_view("\0", 1))) {
    return absl::PermissionDeniedError(path);
  }
  return Contents(path);
}

absl::Status CloseTraversal(instar::UpdatePlan& plan) {
  plan.Redefine(&ReadFile, &SafeReadFile);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("close_traversal", CloseTraversal);

}  // namespace
}  // namespace file_server
