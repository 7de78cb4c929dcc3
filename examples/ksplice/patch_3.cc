// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What was changed on the way is noticed.

#include "absl/status/status.h"
#include "examples/ksplice/channel.h"
#include "examples/ksplice/patch.h"
#include "updates/thread_updates.h"
#include "updates/update_module.h"

namespace ksplice {
namespace {

std::uint64_t Sum(std::uint64_t body) { return body % 1000003 + 1; }

Packet NewSeal(std::uint64_t value) {
  const std::uint64_t body = ~value << 13 | ~value >> 51;
  return {body, Sum(body)};
}

std::optional<std::uint64_t> NewOpen(const Packet& packet) {
  if (packet.sum != Sum(packet.body)) return std::nullopt;
  return ~(packet.body >> 13 | packet.body << 51);
}

void NewDeliver(std::uint64_t value) {
  const Packet packet = Seal(value);
  Travel();
  Count(3, Open(packet) == value);
}

absl::Status Describe(instar::ThreadUpdates& update) {
  Start({&NewSeal, &NewOpen, &NewDeliver}, update);
  return absl::OkStatus();
}

INSTAR_THREAD_UPDATES_MODULE("patch_3", Describe);
}  // namespace
}  // namespace ksplice
