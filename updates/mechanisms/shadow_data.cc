// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/shadow_data.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace instar {
namespace updates_internal {
namespace {

class ShadowDataMechanism final : public Mechanism {
 public:
  ShadowDataMechanism(std::string name, std::function<void()> end)
      : name_(std::move(name)), end_(std::move(end)) {}

  std::string name() const override {
    return absl::StrCat("shadow data ", name_);
  }
  // The data end while threads run.
  MechanismTraits traits() const override { return {AuthorsCodeIn::kNothing}; }
  PointAllows NeedsOf(const ThreadRef&) const noexcept override {
    return PointAllows::kHold;
  }

  std::vector<std::string> LostByUndo() const override {
    return {"what has been attached"};
  }
  Attempt Apply(const StoppedWorld&) override {
    is_applied_ = true;
    return Attempt::Done();
  }
  Attempt Undo(const StoppedWorld&) override {
    is_applied_ = false;
    return Attempt::Done();
  }
  void AfterStop(AttemptResult result) override {
    if (!is_applied_ && result != AttemptResult::kNothing) end_();
  }

 private:
  const std::string name_;
  const std::function<void()> end_;
  bool is_applied_ = false;
};

}  // namespace

std::shared_ptr<Mechanism> MakeShadowData(std::string name,
                                          std::function<void()> end) {
  return std::make_shared<ShadowDataMechanism>(std::move(name), std::move(end));
}

}  // namespace updates_internal
}  // namespace instar
