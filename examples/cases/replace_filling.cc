// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "examples/cases/program.h"
#include "stack/exposed_values.h"
#include "updates/mechanisms/replace_activation.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace cases {
namespace {

struct Rest {
  std::vector<std::string>* list;
  int next;
  int size;
};

void FillRest(Rest rest) {
  while (rest.next < rest.size) {
    if (!NextLine()) return;
    rest.list->push_back(absl::StrCat("new", rest.next++));
  }
}

// Called by the activation that is to be replaced; does not return to it.
void ReplacingProgress() {
  const absl::Status refused = instar::ReplaceActivation(
      &FillList, &FillRest,
      [](instar::StackBounds frame) -> absl::StatusOr<Rest> {
        INSTAR_ASSIGN_OR_RETURN(
            auto* list,
            instar::FindExposed<std::vector<std::string>>("list", frame));
        INSTAR_ASSIGN_OR_RETURN(const int next,
                                instar::ReadExposed<int>("next", frame));
        INSTAR_ASSIGN_OR_RETURN(const int size,
                                instar::ReadExposed<int>("size", frame));
        return Rest{list, next, size};
      });
  Say(refused.ToString());
}

absl::Status Describe(instar::UpdatePlan& plan) {
  plan.Redefine(&Progress, &ReplacingProgress);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("replace_filling", Describe);
}  // namespace
}  // namespace cases
