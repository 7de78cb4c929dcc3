// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "examples/cases/program.h"
#include "stack/exposed_values.h"
#include "threads/update_point.h"
#include "updates/update_module.h"
#include "updates/update_plan.h"

namespace cases {
namespace {

void NewMain(int lines) {
  Say(absl::StrCat("rebooted after ", lines, " lines"));
  while (DoLine()) {
    ++lines;
    Say(absl::StrCat("line ", lines));
    instar::UpdatePoint();
  }
}

absl::Status Describe(instar::UpdatePlan& plan) {
  plan.Reboot("worker",
              instar::MainWith(&NewMain,
                               [](const instar::HeldThread&) {
                                 return instar::ReadExposed<int>("lines");
                               }),
              &WorkerMain);
  return absl::OkStatus();
}

INSTAR_UPDATE_MODULE("reboot", Describe);
}  // namespace
}  // namespace cases
