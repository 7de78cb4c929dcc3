// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What tests of the update driver share: updates that do what a script says,
// and answers that come later.

#ifndef INSTAR_MANAGER_INTERNAL_UPDATE_DRIVER_FIXTURE_H_
#define INSTAR_MANAGER_INTERNAL_UPDATE_DRIVER_FIXTURE_H_

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/event_log.h"
#include "base/testing/gate.h"
#include "gtest/gtest.h"
#include "manager/internal/journal.h"
#include "manager/internal/system_log.h"
#include "manager/internal/system_log_for_test.h"
#include "manager/internal/update_driver.h"

namespace instar {
namespace manager_internal {

inline constexpr std::chrono::seconds kLong(60);
inline constexpr std::chrono::milliseconds kShort(20);
// Of a script, which looks again and again for seconds.
inline constexpr std::chrono::microseconds kPause(200);

// An answer that comes later.
class Answer {
 public:
  UpdateDriver::Done<UpdateReport> Callback() {
    return [state = state_](absl::StatusOr<UpdateReport> report) {
      std::lock_guard<std::mutex> lock(state->lock);
      EXPECT_FALSE(state->status.has_value()) << "answered twice";
      state->status = report.status();
      state->changed.notify_all();
    };
  }
  absl::Status Await() {
    std::unique_lock<std::mutex> lock(state_->lock);
    state_->changed.wait(lock, [&] { return state_->status.has_value(); });
    return *state_->status;
  }
  bool has_come() const {
    std::lock_guard<std::mutex> lock(state_->lock);
    return state_->status.has_value();
  }

 private:
  struct State {
    std::mutex lock;
    std::condition_variable changed;
    std::optional<absl::Status> status;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// What an update of the tests does, and what it has done.
struct Script {
  absl::Status prepare, apply, undo, can_undo;
  std::function<Attempt()> requirements = [] { return Attempt::Done(); };
  bool waits = false;     // Apply() lasts until it is cancelled or let through
  bool is_stuck = false;  // it neither gives up nor can be cancelled
  std::atomic<bool> go{false};
  std::atomic<bool> is_waiting{false};
  std::atomic<bool> is_gone{false};
  std::atomic<bool> is_settled{false};
  // Of Apply() and Undo(), when they are over, and of the destructor.
  std::function<void()> when_asked = [] {}, at_end = [] {};
};

class ScriptedUpdate final : public Update {
 public:
  ScriptedUpdate(std::string name, std::shared_ptr<Script> script,
                 EventLog* log)
      : name_(std::move(name)), script_(std::move(script)), log_(log) {}
  ~ScriptedUpdate() override {
    script_->at_end();
    script_->is_gone = true;
  }

  const std::string& name() const override { return name_; }
  absl::StatusOr<UpdateForecast> Prepare() override {
    if (!script_->prepare.ok()) return script_->prepare;
    phase_ = UpdatePhase::kPrepared;
    return UpdateForecast();
  }
  Attempt Requirements() override { return script_->requirements(); }
  absl::Status Apply(const ApplyOptions& options) override {
    cancelled_ = false;  // a cancellation that comes too early is lost
    const auto until = std::chrono::steady_clock::now() + options.timeout;
    script_->is_waiting = true;
    while (script_->waits && !script_->go) {
      const bool is_late = std::chrono::steady_clock::now() > until;
      const bool is_cancelled = cancelled_;
      if ((is_late || is_cancelled) && script_->is_stuck) {
        phase_ = UpdatePhase::kBroken;
      } else if (is_cancelled) {
        return absl::CancelledError("cancelled");
      } else if (is_late) {
        return absl::DeadlineExceededError("no safe moment");
      }
      std::this_thread::sleep_for(kPause);
    }
    if (!script_->apply.ok()) return script_->apply;
    phase_ = UpdatePhase::kApplied;
    script_->is_settled = !options.settle_later;
    log_->Add(absl::StrCat("+", name_));
    return absl::OkStatus();
  }
  void Settle() override { script_->is_settled = true; }
  absl::Status CanUndo() const override {
    script_->when_asked();
    return script_->can_undo;
  }
  absl::Status Undo(const ApplyOptions&) override {
    if (script_->undo.ok()) log_->Add(absl::StrCat("-", name_));
    return script_->undo;
  }
  void Cancel() override { cancelled_ = true; }
  UpdateProgress Progress() const override {
    UpdateProgress progress;
    progress.phase = phase_;
    if (phase_ == UpdatePhase::kBroken) {
      progress.blockers.emplace_back().reason = "the hook still runs";
    }
    return progress;
  }
  HoldTimes hold_times() const override { return {}; }
  std::vector<ThreadRef> StartedThreads() const override { return {}; }

 private:
  const std::string name_;
  const std::shared_ptr<Script> script_;
  EventLog* const log_;
  std::atomic<UpdatePhase> phase_{UpdatePhase::kNew};
  std::atomic<bool> cancelled_{false};
};

inline constexpr Requester kByHand = {4321, 123};

class UpdateDriverTest : public testing::Test {
 protected:
  UpdateDriverTest()
      : path_(absl::StrCat(testing::TempDir(), "/driver_", getpid())),
        journal_(std::make_shared<Journal>(path_)),
        driver_(UpdateDriver::Make(journal_, nullptr,
                                   SystemLog(system_log_.path()), "shop")) {
    EXPECT_TRUE(driver_->Start().ok());
  }
  ~UpdateDriverTest() override {
    driver_->Stop();
    // Its worker ends in any case, if later, and may write until then.
    const std::weak_ptr<UpdateDriver> left = driver_;
    driver_ = nullptr;
    while (!left.expired()) std::this_thread::yield();
    unlink(path_.c_str());
  }

  Answer Apply(const std::string& name, std::shared_ptr<Script> script,
               std::chrono::nanoseconds timeout = kLong) {
    Answer answer;
    driver_->Apply(
        std::make_unique<ScriptedUpdate>(name, std::move(script), &log_),
        timeout, answer.Callback());
    return answer;
  }
  absl::Status ApplyNow(const std::string& name) {
    return Apply(name, std::make_shared<Script>()).Await();
  }
  Answer Undo(const std::string& name = "") {
    Answer answer;
    driver_->Undo(name, kLong, kByHand, answer.Callback());
    return answer;
  }
  std::vector<std::string> AppliedNames() {
    std::vector<std::string> names;
    for (const AppliedReport& report : driver_->Applied()) {
      names.push_back(report.update);
    }
    return names;
  }
  std::vector<std::string> JournalEvents() {
    std::vector<std::string> events;
    auto entries = journal_->Read();
    EXPECT_TRUE(entries.ok()) << entries.status();
    for (const JournalEntry& entry : *entries) {
      events.push_back(absl::StrCat(entry.event, " ", entry.update));
    }
    return events;
  }
  // Until the driver has looked at it and it waits for something of its own.
  std::string AwaitWaitsFor(std::size_t place) {
    while (true) {
      const std::vector<PendingReport> pending = driver_->Pending();
      if (pending.size() > place && !pending[place].waits_for.empty() &&
          pending[place].waits_for != "its turn") {
        return pending[place].waits_for;
      }
      std::this_thread::yield();
    }
  }

  const std::string path_;
  EventLog log_;
  SystemLogForTest system_log_;
  const std::shared_ptr<Journal> journal_;
  std::shared_ptr<UpdateDriver> driver_;
};

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_INTERNAL_UPDATE_DRIVER_FIXTURE_H_
