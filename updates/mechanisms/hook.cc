// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/hook.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/no_allocation.h"
#include "updates/mechanisms/internal/attempt_of_author.h"

namespace instar {
namespace {

using updates_internal::AttemptOfAuthor;

Attempt Call(const Hook& hook) {
  const AuthorsCode its_own;
  return AttemptOfAuthor(hook());
}

class HookMechanism final : public Mechanism {
 public:
  HookMechanism(std::string name, Hook hook, Hook undo)
      : name_(std::move(name)),
        hook_(std::move(hook)),
        undo_(std::move(undo)),
        no_undo_(absl::UnimplementedError(
            absl::StrCat("the ", name_, " has nothing that undoes it"))) {}

  std::string name() const override { return name_; }
  MechanismTraits traits() const override {
    return {AuthorsCodeIn::kTheChange};
  }

  absl::Status Prepare(UpdateForecast&) override {
    if (hook_ != nullptr) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("the ", name_, " is empty"));
  }
  absl::Status CanUndo() const override {
    if (undo_ != nullptr) return absl::OkStatus();
    return absl::FailedPreconditionError(no_undo_.message());
  }
  Attempt Apply(const StoppedWorld&) override { return Call(hook_); }
  Attempt Undo(const StoppedWorld&) override {
    if (undo_ == nullptr) return AttemptOfAuthor(no_undo_);
    const AuthorsCode its_own;
    absl::Status status = undo_();
    // There is an undo, and it failed.
    if (absl::IsUnimplemented(status)) {
      status = absl::FailedPreconditionError(status.message());
    }
    return AttemptOfAuthor(std::move(status));
  }

 private:
  const std::string name_;
  const Hook hook_;
  const Hook undo_;
  const absl::Status no_undo_;  // made before threads stand still
};

}  // namespace

std::shared_ptr<Mechanism> MakeHook(std::string name, Hook hook, Hook undo) {
  return std::make_shared<HookMechanism>(std::move(name), std::move(hook),
                                         std::move(undo));
}

}  // namespace instar
