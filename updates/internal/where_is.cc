// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/where_is.h"

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "code/symbols/function.h"
#include "stack/interrupted_thread.h"
#include "stack/stack_walker.h"

namespace instar {
namespace updates_internal {
namespace {

constexpr std::chrono::milliseconds kSignalLimit(5);
constexpr std::size_t kNamedFrames = 4;

}  // namespace

std::vector<std::string> WhereIs(pid_t tid) {
  std::vector<std::uintptr_t> pcs;
  std::vector<char> room(256 << 10);
  const absl::StatusOr<StackSnapshot> copy =
      CopyThread(tid, kSignalLimit, room.data(), room.size());
  if (!copy.ok()) return {};
  WalkStack(*copy, [&](const Frame& frame) {
    pcs.push_back(frame.lookup_pc);
    return pcs.size() < kNamedFrames;
  });
  std::vector<std::string> names;
  for (const std::uintptr_t pc : pcs) {
    const absl::StatusOr<Function> function = Function::Containing(pc);
    names.push_back(function.ok() ? function->name()
                                  : absl::StrCat("0x", absl::Hex(pc)));
  }
  return names;
}

}  // namespace updates_internal
}  // namespace instar
