// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/status/statusor.h"
#include "examples/recaml/fibonacci.h"
#include "manager/manager.h"
#include "threads/controlled_thread.h"

int main() {
  const absl::StatusOr<instar::Manager> manager = instar::Manager::Start();
  if (!manager.ok()) {
    recaml::Say(manager.status().ToString());
    return 1;
  }
  instar::ControlledThread worker =
      instar::StartPassiveThread("worker", recaml::WorkerMain);
  recaml::Say("ready");
}
