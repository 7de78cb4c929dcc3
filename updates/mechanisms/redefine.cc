// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/redefine.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "code/internal/other_threads.h"
#include "code/symbols/coroutine.h"
#include "updates/mechanisms/internal/unknown_copies.h"

namespace instar {
namespace {

class RedefineMechanism final : public Mechanism {
 public:
  RedefineMechanism(std::shared_ptr<const Redefinitions> redefinitions,
                    std::shared_ptr<const RedefineOptions> options)
      : redefinitions_(std::move(redefinitions)),
        options_(std::move(options)) {}

  std::string name() const override {
    const std::vector<std::string> names = redefinitions_->names();
    // None, if it is not known which function is meant.
    return absl::StrCat(options_->at_once ? "redefine at once" : "redefine",
                        names.empty() ? "" : " ", absl::StrJoin(names, ", "));
  }
  MechanismTraits traits() const override {
    return {AuthorsCodeIn::kNothing, Stacks::kThisThread};
  }
  PointAllows NeedsOf(const ThreadRef&) const noexcept override {
    return PointAllows::kHold;
  }

  absl::Status Prepare(UpdateForecast& forecast) override;
  absl::StatusOr<QuiescentCode> MustBeQuiescent(bool) override;

  absl::Status BeginAttempts() override { return prepared_->BeginAttempts(); }
  void EndAttempts() override { prepared_->EndAttempts(); }

  Attempt Apply(const StoppedWorld& world) override {
    return AttemptOf(prepared_->Apply(world.others()));
  }
  Attempt Undo(const StoppedWorld& world) override {
    return AttemptOf(prepared_->Undo(world.others()));
  }

 private:
  static Attempt AttemptOf(absl::Status status) {
    return status.ok() ? Attempt::Done() : Attempt::Failed(std::move(status));
  }

  const std::shared_ptr<const Redefinitions> redefinitions_;
  const std::shared_ptr<const RedefineOptions> options_;
  std::optional<PreparedRedefinitions> prepared_;  // when prepared
};

absl::Status RedefineMechanism::Prepare(UpdateForecast& forecast) {
  std::vector<Function> functions;
  for (const EntryRedirection& entry : redefinitions_->entries()) {
    functions.push_back(entry.from);
  }
  for (const Function& function : CoroutinesAmong(functions)) {
    forecast.Warn(absl::StrCat(
        function.name(),
        " is a coroutine: those that are suspended are on no stack, so "
        "nobody waits for them, and they go on in the old version"));
  }
  if (!prepared_.has_value()) {
    RedirectionOptions options;
    options.ignore_inlined_copies = options_->ignore_inlined_copies;
    auto prepared = PreparedRedefinitions::Make(*redefinitions_, options);
    INSTAR_RETURN_IF_ERROR(prepared.status());
    prepared_.emplace(*std::move(prepared));
  }
  for (const Function& function : functions) {
    if (function.binding() != SymbolBinding::kWeak) continue;
    updates_internal::RemarkOnUnknownCopies(forecast);
    break;
  }
  return absl::OkStatus();
}

absl::StatusOr<QuiescentCode> RedefineMechanism::MustBeQuiescent(bool) {
  INSTAR_CHECK(prepared_.has_value()) << "it has not been prepared";
  if (options_->at_once) return QuiescentCode();
  INSTAR_ASSIGN_OR_RETURN(std::vector<Function> functions,
                          prepared_->QuiescentFunctions());
  return QuiescentCode{std::move(functions),
                       {},
                       // They were looked for when it was prepared.
                       /*ignore_unknown_copies=*/true,
                       /*can_be_forced=*/redefinitions_->slots().empty()};
}

}  // namespace

std::shared_ptr<Mechanism> Redefine(Redefinitions redefinitions,
                                    RedefineOptions options) {
  return updates_internal::RedefineAll(
      std::make_shared<const Redefinitions>(std::move(redefinitions)),
      std::make_shared<const RedefineOptions>(options));
}

std::shared_ptr<Mechanism> RedefineAtOnce(Redefinitions redefinitions) {
  return Redefine(std::move(redefinitions),
                  {/*ignore_inlined_copies=*/false, /*at_once=*/true});
}

std::shared_ptr<Mechanism> updates_internal::RedefineAll(
    std::shared_ptr<const Redefinitions> redefinitions,
    std::shared_ptr<const RedefineOptions> options) {
  return std::make_shared<RedefineMechanism>(std::move(redefinitions),
                                             std::move(options));
}

}  // namespace instar
