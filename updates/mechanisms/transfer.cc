// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/transfer.h"

#include "absl/strings/str_cat.h"
#include "base/no_allocation.h"
#include "updates/mechanisms/internal/attempt_of_author.h"

namespace instar {
namespace updates_internal {
namespace {

class TransferMechanism final : public Mechanism {
 public:
  explicit TransferMechanism(TransferParts parts) : parts_(std::move(parts)) {}

  std::string name() const override {
    return absl::StrCat("transfer ", parts_.variable);
  }
  MechanismTraits traits() const override {
    return {AuthorsCodeIn::kTheChange};
  }

  absl::Status Prepare(UpdateForecast&) override { return parts_.find(); }
  std::vector<std::string> LostByUndo() const override {
    if (!parts_.is_lost_by_undo) return {};
    return {"what the new version has changed of it"};
  }
  absl::StatusOr<QuiescentCode> MustBeQuiescent(bool) override {
    return QuiescentCode{parts_.quiescent, {}};
  }

  Attempt Apply(const StoppedWorld&) override { return Change(parts_.apply); }
  Attempt Undo(const StoppedWorld&) override { return Change(parts_.undo); }
  Attempt RollBack(const StoppedWorld&, Direction direction) override {
    const AuthorsCode its_types;
    const std::function<void()>& back =
        direction == Direction::kApply ? parts_.roll_back : parts_.redo;
    back();
    return Attempt::Done();
  }

 private:
  static Attempt Change(const std::function<absl::Status()>& change) {
    const AuthorsCode its_types;
    absl::Status status = change();
    return status.ok() ? Attempt::Done() : Attempt::Failed(std::move(status));
  }

  const TransferParts parts_;
};

}  // namespace

std::shared_ptr<Mechanism> MakeTransfer(TransferParts parts) {
  return std::make_shared<TransferMechanism>(std::move(parts));
}

}  // namespace updates_internal
}  // namespace instar
