// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/transfer.h"

#include "absl/strings/str_cat.h"
#include "base/no_allocation.h"
#include "updates/mechanisms/internal/built_in.h"

namespace instar {
namespace updates_internal {
namespace {

class TransferMechanism final : public BuiltInMechanism {
 public:
  explicit TransferMechanism(TransferParts parts) : parts_(std::move(parts)) {}

  std::string name() const override {
    return absl::StrCat("transfer ", parts_.variable);
  }
  Authors authors() const override { return Authors::kInTheChange; }
  Stacks least_stacks(bool) const override {
    return Stacks::kControlledThreads;
  }

  absl::Status Prepare(UpdateForecast&) override { return parts_.find(); }
  std::vector<std::string> LostByUndo() const override {
    if (!parts_.is_lost_by_undo) return {};
    return {"what the new version has changed of it"};
  }
  absl::StatusOr<QuiescentCode> MustBeQuiescent(bool) override {
    return QuiescentCode{parts_.quiescent, {}};
  }

  // Each takes back the other, if that was at the same stop.
  Attempt Apply(const StoppedWorld&) override {
    return Change(parts_.apply, parts_.redo);
  }
  Attempt Undo(const StoppedWorld&) override {
    return Change(parts_.undo, parts_.roll_back);
  }
  void AfterStop(AttemptResult) override { is_changed_ = false; }

 private:
  Attempt Change(const std::function<absl::Status()>& change,
                 const std::function<void()>& roll_back) {
    const AuthorsCode its_types;
    if (is_changed_) {
      roll_back();
    } else {
      absl::Status status = change();
      if (!status.ok()) return Attempt::Failed(std::move(status));
    }
    is_changed_ = !is_changed_;
    return Attempt::Done();
  }

  const TransferParts parts_;
  bool is_changed_ = false;  // at this stop
};

}  // namespace

std::shared_ptr<Mechanism> MakeTransfer(TransferParts parts) {
  return std::make_shared<TransferMechanism>(std::move(parts));
}

}  // namespace updates_internal
}  // namespace instar
