// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/signal_reach.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <optional>

#include "base/linux/tasks.h"

namespace instar {
namespace {

bool Has(std::uint64_t signals, int signal) {
  return signal > 0 && (signals >> (signal - 1) & 1) != 0;
}

bool HasMoreFiltersThanCaller(const TaskStatus& status) {
  if (status.filters == 0) return false;
  const std::optional<TaskStatus> own =
      StatusOfTask(static_cast<pid_t>(syscall(SYS_gettid)));
  return !own.has_value() || status.filters > own->filters;
}

}  // namespace

SignalReach ReachOf(pid_t tid, int signal) {
  const std::optional<TaskStatus> status = StatusOfTask(tid);
  if (!status.has_value()) return SignalReach::kHandled;
  if (HasMoreFiltersThanCaller(*status)) return SignalReach::kFiltered;
  if (Has(status->blocked, signal)) return SignalReach::kBlocked;
  if (Has(SignalsAwaitedBy(tid), signal)) return SignalReach::kAwaited;
  return SignalReach::kHandled;
}

}  // namespace instar
