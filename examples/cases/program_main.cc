// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <memory>

#include "absl/status/statusor.h"
#include "examples/cases/pipe_listener.h"
#include "examples/cases/program.h"
#include "manager/manager.h"
#include "threads/controlled_thread.h"

// The argument is where a named pipe is made that takes updates, too.
int main(int argc, char** argv) {
  if (argc != 2) {
    cases::Say("usage: program PIPE");
    return 2;
  }
  absl::StatusOr<instar::Manager> manager = instar::Manager::Start();
  if (!manager.ok()) {
    cases::Say(manager.status().ToString());
    return 1;
  }
  for (int i = 0; i < 3; ++i) {
    cases::items.push_back(std::make_unique<cases::Item>());
    cases::lazy_items.emplace_back(std::make_unique<cases::LazyItem>());
  }
  instar::ControlledThread worker =
      instar::StartPassiveThread("worker", cases::WorkerMain);
  instar::ControlledThread guest =
      instar::StartPassiveThread("guest", cases::GuestMain);
  cases::PipeListener listener(*manager, argv[1]);
  cases::Say("ready");
  worker.Join();
  cases::EndGuests();
}
