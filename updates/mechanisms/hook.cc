// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/hook.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/no_allocation.h"
#include "updates/mechanisms/built_in.h"

namespace instar {
namespace {

using updates_internal::AttemptOfAuthor;

Attempt Call(const Hook& hook) {
  const AuthorsCode its_own;
  return AttemptOfAuthor(hook());
}

class HookMechanism final : public updates_internal::BuiltInMechanism {
 public:
  HookMechanism(std::string name, Hook hook, Hook undo)
      : name_(std::move(name)),
        hook_(std::move(hook)),
        undo_(std::move(undo)),
        no_undo_(absl::UnimplementedError(
            absl::StrCat("the ", name_, " has nothing that undoes it"))) {}

  std::string name() const override { return name_; }
  Authors authors() const override { return Authors::kInTheChange; }

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
    return undo_ == nullptr ? AttemptOfAuthor(no_undo_) : Call(undo_);
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
