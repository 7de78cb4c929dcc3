// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/parked_thread.h"

#include <pthread.h>
#include <signal.h>

#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/linux/blocked_signals.h"
#include "base/linux/own_thread.h"
#include "stack/interrupted_thread.h"
#include "threads/internal/thread_body.h"

namespace instar {

using threads_internal::Registry;
using threads_internal::ThreadRecord;

struct ParkedThread::State {
  enum class Wish { kWait, kRun, kEnd };

  void Set(Wish w) {
    {
      std::lock_guard<std::mutex> guard(lock);
      wish = w;
    }
    changed.notify_one();
  }

  std::mutex lock;
  std::condition_variable changed;
  Wish wish = Wish::kWait;
  std::shared_ptr<ThreadRecord> record;
  absl::AnyInvocable<void()> function;
  sigset_t blocked;  // while it runs
};

absl::StatusOr<ParkedThread> ParkedThread::Make(
    std::string name, ThreadKind kind, absl::AnyInvocable<void()> function) {
  auto state = std::make_shared<State>();
  state->record = std::make_shared<ThreadRecord>(std::move(name), kind);
  state->function = std::move(function);
  state->blocked = SignalsBlockedByProgram();
  // It waits with the program's signals blocked: nothing of the program runs
  // before its function.
  const BlockedSignals no_signals(InterruptionSignal().value_or(0));
  try {
    std::thread([state] {
      {
        std::unique_lock<std::mutex> lock(state->lock);
        state->changed.wait(lock,
                            [&] { return state->wish != State::Wish::kWait; });
        if (state->wish == State::Wish::kEnd) return;
      }
      pthread_sigmask(SIG_SETMASK, &state->blocked, nullptr);
      threads_internal::RunThread(*state->record, std::move(state->function));
    }).detach();
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "no thread for '", state->record->name, "': ", error.what()));
  }
  return ParkedThread(std::move(state));
}

ParkedThread& ParkedThread::operator=(ParkedThread&& other) noexcept {
  if (this != &other) {
    End();
    state_ = std::move(other.state_);
  }
  return *this;
}

ParkedThread::~ParkedThread() { End(); }

// The function goes here and not in the thread, which ends later: its code may
// be that of a module that is unloaded next.
void ParkedThread::End() {
  if (state_ == nullptr) return;
  state_->function = nullptr;
  state_->Set(State::Wish::kEnd);
}

ThreadRef ParkedThread::Start() {
  INSTAR_CHECK(state_ != nullptr) << "this thread has been started";
  ThreadRef started(state_->record);
  Registry::Get().Add(state_->record);
  state_->Set(State::Wish::kRun);
  state_ = nullptr;
  return started;
}

}  // namespace instar
