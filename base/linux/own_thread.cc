// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/own_thread.h"

#include <pthread.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/linux/blocked_signals.h"
#include "base/linux/tasks.h"

// By which threads are stopped; 0: by none. Defined in
// stack/interrupted_thread.cc: a program that has not got that stops none.
extern "C" __attribute__((weak)) int InstarInterruptionSignal();

namespace instar {
namespace {

thread_local bool is_own_thread = false;

}  // namespace

absl::StatusOr<std::thread> StartOwnThread(const char* name,
                                           std::function<void()> body) {
  const BlockedSignals blocked(
      InstarInterruptionSignal == nullptr ? 0 : InstarInterruptionSignal());
  try {
    std::thread thread([body = std::move(body)] {
      is_own_thread = true;
      body();
    });
    pthread_setname_np(thread.native_handle(), name);
    return thread;
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "no thread can be started (", name, "): ", error.what(),
        "; raise the limit of processes (ulimit -u, TasksMax= of systemd)"));
  }
}

bool IsOwnThread() { return is_own_thread; }

sigset_t SignalsBlockedByProgram() {
  sigset_t blocked;
  pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  if (!is_own_thread) return blocked;
  sigemptyset(&blocked);
  // Also of a first thread that has ended.
  const std::uint64_t bits = SignalsBlockedBy(getpid()).value_or(0);
  for (int number = 1; number <= 64; ++number) {
    // Fails for those that the C library keeps for itself.
    if ((bits >> (number - 1)) & 1) sigaddset(&blocked, number);
  }
  return blocked;
}

}  // namespace instar
