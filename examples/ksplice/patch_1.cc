// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Values travel in disguise.

#include "absl/status/status.h"
#include "examples/ksplice/channel.h"
#include "examples/ksplice/patch.h"
#include "updates/thread_updates.h"
#include "updates/update_module.h"

namespace ksplice {
namespace {

Packet NewSeal(std::uint64_t value) { return {~value, 0}; }

std::optional<std::uint64_t> NewOpen(const Packet& packet) {
  return ~packet.body;
}

void NewDeliver(std::uint64_t value) {
  const Packet packet = Seal(value);
  Travel();
  Count(1, Open(packet) == value);
}

absl::Status Describe(instar::ThreadUpdates& update) {
  Start({&NewSeal, &NewOpen, &NewDeliver}, update);
  return absl::OkStatus();
}

INSTAR_THREAD_UPDATES_MODULE("patch_1", Describe);
}  // namespace
}  // namespace ksplice
