// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/quiescence/internal/own_stacks.h"

#include "absl/strings/str_cat.h"
#include "continuation/paused_computations.h"

namespace instar {
namespace updates_internal {
namespace {

constexpr int kMostSwitchers = 64;

}  // namespace

bool VisitOwnStack(absl::FunctionRef<void(const StackSnapshot& stack)> visit) {
  StackSnapshot own = SnapshotOfCaller();
  StackSnapshot room[kMostSwitchers];
  if (LinkSwitchers(&own, room, kMostSwitchers) < 0) return false;
  visit(own);
  return true;
}

std::string TooDeep() {
  return absl::StrCat("the caller runs in more than ", kMostSwitchers,
                      " continulets within another");
}

}  // namespace updates_internal
}  // namespace instar
