// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/testing/update_fixture.h"

#include <condition_variable>
#include <mutex>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "base/check.h"
#include "threads/update_point.h"

namespace instar {

// Counts the steps of one thread.
struct UpdateFixture::Stepper {
  std::mutex lock;  // never held at an update point
  std::condition_variable changed;
  long begun = 0;
  long ended = 0;
  bool is_over = false;  // the function has been left

  void Count(long Stepper::*what) {
    std::lock_guard<std::mutex> guard(lock);
    ++(this->*what);
    changed.notify_all();
  }
};

UpdateFixture::UpdateFixture() = default;
UpdateFixture::~UpdateFixture() = default;

void UpdateFixture::TearDown() {
  if (update_ != nullptr && update_->CanUndo().ok()) Undo();
  is_stopping_.store(true, std::memory_order_relaxed);
  threads_.clear();
}

bool UpdateFixture::is_stopping() const {
  return is_stopping_.load(std::memory_order_relaxed);
}

void UpdateFixture::StartThread(std::string name, std::function<void()> step,
                                ThreadKind kind) {
  auto stepper = std::make_shared<Stepper>();
  steppers_.push_back(stepper);
  StartMain(
      std::move(name),
      [this, stepper, step = std::move(step)] {
        const auto over = absl::MakeCleanup([&stepper] {
          std::lock_guard<std::mutex> guard(stepper->lock);
          stepper->is_over = true;
          stepper->changed.notify_all();
        });
        while (!is_stopping()) {
          stepper->Count(&Stepper::begun);
          step();
          stepper->Count(&Stepper::ended);
          UpdatePoint();
        }
      },
      kind);
}

void UpdateFixture::StartMain(std::string name, std::function<void()> main,
                              ThreadKind kind) {
  threads_.push_back(instar::StartThread(std::move(name), kind,
                                         [main = std::move(main)] { main(); }));
}

void UpdateFixture::AwaitSteps() {
  for (const auto& stepper : steppers_) {
    std::unique_lock<std::mutex> lock(stepper->lock);
    const long next = stepper->begun + 1;
    stepper->changed.wait(
        lock, [&] { return stepper->is_over || stepper->ended >= next; });
  }
}

void UpdateFixture::Make(
    const std::string& name,
    const std::function<absl::Status(UpdatePlan&)>& describe) {
  UpdatePlan plan(name);
  const absl::Status status = describe(plan);
  EXPECT_TRUE(status.ok()) << "the update " << name << " refuses: " << status;
  update_ = MakeUpdate(std::move(plan));
}

void UpdateFixture::Make(
    const std::string& name,
    const std::function<absl::Status(ThreadUpdates&)>& describe) {
  ThreadUpdates threads(name);
  const absl::Status status = describe(threads);
  EXPECT_TRUE(status.ok()) << "the update " << name << " refuses: " << status;
  update_ = MakeUpdate(std::move(threads));
}

Update& UpdateFixture::update() {
  INSTAR_CHECK(update_ != nullptr) << "Make() makes the update";
  return *update_;
}

ApplyOptions UpdateFixture::WithTimeout(
    std::chrono::nanoseconds timeout) const {
  ApplyOptions options;
  options.timeout = timeout;
  return options;
}

absl::Status UpdateFixture::TryApply(std::chrono::nanoseconds timeout) {
  return update().Apply(WithTimeout(timeout));
}

absl::Status UpdateFixture::TryUndo(std::chrono::nanoseconds timeout) {
  return update().Undo(WithTimeout(timeout));
}

void UpdateFixture::Apply() {
  const absl::Status status = TryApply(kPatience);
  EXPECT_TRUE(status.ok()) << status;
}

void UpdateFixture::Undo() {
  const absl::Status status = TryUndo(kPatience);
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace instar
