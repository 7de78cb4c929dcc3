// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "absl/status/statusor.h"
#include "examples/combination/bank.h"
#include "manager/manager.h"
#include "threads/controlled_thread.h"

namespace bank {
namespace {

int Main() {
  const absl::StatusOr<instar::Manager> manager = instar::Manager::Start();
  if (!manager.ok()) {
    Say(manager.status().ToString());
    return 1;
  }
  OpenBank();
  instar::ControlledThread auditor =
      instar::StartActiveThread("auditor", AuditorMain, 0L);
  instar::ControlledThread clerk =
      instar::StartPassiveThread("clerk", ClerkMain);
  instar::ControlledThread movers[] = {
      instar::StartPassiveThread("mover", MoverMain, 0),
      instar::StartPassiveThread("mover", MoverMain, 1000)};
  instar::ControlledThread teller =
      instar::StartPassiveThread("teller", TellerMain);
  Say("ready");
  teller.Join();  // at the end of the input
  is_over = true;
  WakeClerk();
  auditor.Join();
  return WasAllWell() ? 0 : 1;
}

}  // namespace
}  // namespace bank

int main() { return bank::Main(); }
