// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "heap/conversion.h"

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "heap/internal/background_sweep.h"

namespace instar {
namespace {

// What the strategies have in common.
class StepOfChange : public ConversionStep {
 public:
  StepOfChange(std::unique_ptr<VersionChange> change, const char* how)
      : change_(std::move(change)), how_(how) {}

  std::string name() const override {
    return absl::StrCat(change_->name(), ", ", how_);
  }
  absl::StatusOr<ConversionForecast> Check() const override {
    return change_->Check();
  }
  absl::Status Prepare() override { return change_->Prepare(); }
  absl::Status Undo() override { return change_->TakeBack(); }
  void WatchBy(ConversionWatch* watch) override { change_->WatchBy(watch); }
  ObjectCounts Counts() const override {
    return heap_internal::CountObjects(change_->root());
  }

 protected:
  VersionChange& change() const { return *change_; }

 private:
  const std::unique_ptr<VersionChange> change_;
  const char* const how_;
};

class EagerStep : public StepOfChange {
 public:
  explicit EagerStep(std::unique_ptr<VersionChange> change)
      : StepOfChange(std::move(change), "eagerly") {}

  absl::Status Apply() override {
    INSTAR_RETURN_IF_ERROR(change().Install());
    absl::Status status = change().ConvertAll();
    if (!status.ok() && !change().was_stopped()) {
      const absl::Status undone = change().TakeBack();
      INSTAR_CHECK(undone.ok() || change().was_stopped()) << undone;
    }
    return status;
  }
};

class LazyStep : public StepOfChange {
 public:
  explicit LazyStep(std::unique_ptr<VersionChange> change)
      : StepOfChange(std::move(change), "lazily") {}

  absl::StatusOr<ConversionForecast> Check() const override {
    INSTAR_ASSIGN_OR_RETURN(ConversionForecast forecast, StepOfChange::Check());
    forecast.lacks_proxies = !change().root()->has_proxies();
    return forecast;
  }
  absl::Status Apply() override {
    return change().Install(VersionChange::Births::kAtFirstAccess);
  }
};

class ProgressiveStep : public StepOfChange {
 public:
  ProgressiveStep(std::unique_ptr<VersionChange> change, std::size_t portion)
      : StepOfChange(std::move(change), "progressively"),
        sweep_(this->change().root(), portion) {}

  absl::Status Prepare() override {
    INSTAR_RETURN_IF_ERROR(StepOfChange::Prepare());
    return sweep_.Prepare();
  }
  absl::Status Apply() override {
    INSTAR_RETURN_IF_ERROR(change().Install());
    sweep_.Start();
    return absl::OkStatus();
  }
  absl::Status Undo() override {
    sweep_.Stop();
    return StepOfChange::Undo();
  }
  void PauseBackground() override { sweep_.Pause(); }
  bool TryPauseBackground(
      std::chrono::steady_clock::time_point until) override {
    return sweep_.TryPause(until);
  }
  void ResumeBackground() override { sweep_.Resume(); }
  bool Done() const override { return sweep_.Done(); }
  void WaitUntilDone() override { sweep_.WaitUntilDone(); }

 private:
  heap_internal::BackgroundSweep sweep_;
};

}  // namespace

namespace heap_internal {

std::unique_ptr<ConversionStep> MakeEagerStep(
    std::unique_ptr<VersionChange> change) {
  return std::make_unique<EagerStep>(std::move(change));
}

std::unique_ptr<ConversionStep> MakeLazyStep(
    std::unique_ptr<VersionChange> change) {
  return std::make_unique<LazyStep>(std::move(change));
}

std::unique_ptr<ConversionStep> MakeProgressiveStep(
    std::unique_ptr<VersionChange> change, std::size_t portion) {
  return std::make_unique<ProgressiveStep>(std::move(change), portion);
}

}  // namespace heap_internal
}  // namespace instar
