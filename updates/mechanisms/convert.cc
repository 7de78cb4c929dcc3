// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/convert.h"

#include <string>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "code/symbols/coroutine.h"
#include "updates/mechanisms/internal/attempt_of_author.h"
#include "updates/mechanisms/internal/background_work.h"
#include "updates/mechanisms/internal/unknown_copies.h"

namespace instar {
namespace updates_internal {
namespace {

class ConvertMechanism final : public Mechanism {
 public:
  ConvertMechanism(std::unique_ptr<ConversionStep> step,
                   std::shared_ptr<ClassWatch> watch, ConversionCounter counter,
                   bool has_convert_back)
      : step_(std::move(step)),
        watch_(std::move(watch)),
        counter_(std::move(counter)),
        has_convert_back_(has_convert_back) {
    AddBackgroundWork(step_);
  }
  ~ConvertMechanism() override {
    // What is applied stays in effect, and so does its background work.
    if (!is_applied_) RemoveBackgroundWork(step_.get());
  }

  std::string name() const override {
    return absl::StrCat("convert ", step_->name());
  }
  MechanismTraits traits() const override {
    return {AuthorsCodeIn::kTheChange};
  }

  absl::Status Prepare(UpdateForecast& forecast) override;
  std::vector<std::string> LostByUndo() const override {
    return {absl::StrCat(
        "what only objects of the new version hold",
        has_convert_back_
            ? ", but for what its ConvertBack() puts into their old part"
            : "",
        "; those that were made since become objects of the old one, too")};
  }
  absl::StatusOr<QuiescentCode> MustBeQuiescent(bool thorough) override {
    INSTAR_ASSIGN_OR_RETURN(WatchedSet watched, watch_->Get(thorough));
    return QuiescentCode{{}, {std::move(watched)}};
  }

  Attempt Apply(const StoppedWorld& world) override {
    Attempt attempt = Watched(world, [this] { return step_->Apply(); });
    if (!attempt.is_done()) return attempt;
    is_applied_ = true;
    watch_->set_looks_at_all(world.looks_at_all());
    return attempt;
  }
  Attempt Undo(const StoppedWorld& world) override {
    Attempt attempt = Watched(world, [this] { return step_->Undo(); });
    if (!attempt.is_done()) return attempt;
    is_applied_ = false;
    if (counter_ != nullptr) counter_->store(0, std::memory_order_relaxed);
    return attempt;
  }
  void AfterStop(AttemptResult result) override {
    if (result == AttemptResult::kApplied) RememberWatch(watch_);
  }

  Progress progress() const noexcept override {
    Progress progress;
    progress.is_converting = !step_->Done();
    if (counter_ == nullptr) return progress;
    progress.converted = counter_->load(std::memory_order_relaxed);
    progress.total = total_.load(std::memory_order_relaxed);
    return progress;
  }

 private:
  template <typename F>
  Attempt Watched(const StoppedWorld& world, F change) {
    step_->WatchBy(world.conversion_watch());
    const absl::Cleanup end = [this] { step_->WatchBy(nullptr); };
    return AttemptOfAuthor(change());
  }

  const std::shared_ptr<ConversionStep> step_;
  // The functions that use an object of the class, in whichever version.
  const std::shared_ptr<ClassWatch> watch_;
  // What an eager conversion has done; null for the others.
  const ConversionCounter counter_;
  const bool has_convert_back_;
  std::atomic<std::size_t> total_{0};
  bool is_applied_ = false;
};

absl::Status ConvertMechanism::Prepare(UpdateForecast& forecast) {
  INSTAR_ASSIGN_OR_RETURN(const ConversionForecast conversion, step_->Check());
  INSTAR_RETURN_IF_ERROR(step_->Prepare());
  forecast.remarks.push_back(
      absl::StrCat(step_->name(), ": ", conversion.objects, " objects"));
  for (const std::string& remark : conversion.remarks) {
    forecast.remarks.push_back(absl::StrCat(step_->name(), ": ", remark));
  }
  if (conversion.lacks_proxies) {
    forecast.Warn(
        absl::StrCat(step_->name(),
                     ": no object has been used through a LazyProxy so far, "
                     "and an object that never is keeps its version"));
  }
  RemarkOnUnknownCopies(forecast);
  INSTAR_ASSIGN_OR_RETURN(const WatchedSet watched,
                          watch_->Get(/*thorough=*/false));
  for (const Function& function : CoroutinesAmong(watched->functions())) {
    forecast.Warn(
        absl::StrCat(step_->name(), ": ", function.name(),
                     " is a coroutine: those that are suspended are on no "
                     "stack, and objects are converted under them"));
  }
  if (counter_ != nullptr) {
    counter_->store(0, std::memory_order_relaxed);
    total_.store(
        conversion.objects - conversion.of_subclasses - conversion.automatic,
        std::memory_order_relaxed);
  }
  return absl::OkStatus();
}

}  // namespace

ConversionOptions Counted(ConversionOptions options,
                          ConversionCounter counter) {
  options.progress = [own = std::move(options.progress),
                      counter = std::move(counter)](std::size_t done) {
    counter->store(done, std::memory_order_relaxed);
    if (own != nullptr) own(done);
  };
  return options;
}

std::shared_ptr<Mechanism> MakeConversion(std::unique_ptr<ConversionStep> step,
                                          std::shared_ptr<ClassWatch> watch,
                                          ConversionCounter counter,
                                          bool has_convert_back) {
  return std::make_shared<ConvertMechanism>(
      std::move(step), std::move(watch), std::move(counter), has_convert_back);
}

}  // namespace updates_internal
}  // namespace instar
