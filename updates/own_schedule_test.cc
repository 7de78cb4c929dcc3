// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A schedule of one's own: one change after the other.

#include "base/status_macros.h"
#include "gtest/gtest.h"
#include "updates/change.h"
#include "updates/mechanisms/hook.h"
#include "updates/update_run.h"

namespace instar {
class OneByOne final : public Update {
 public:
  explicit OneByOne(std::vector<Change> parts) : parts_(parts) {}

  const std::string& name() const override { return run_.name(); }
  absl::StatusOr<UpdateForecast> Prepare() override {
    UpdateForecast all;
    for (Change& part : parts_) INSTAR_RETURN_IF_ERROR(part.Prepare(&all));
    return all;
  }
  absl::Status CanUndo() const override {
    for (const Change& part : parts_) INSTAR_RETURN_IF_ERROR(part.CanUndo());
    return absl::OkStatus();
  }
  absl::Status Apply(const ApplyOptions& options) override {
    return Go(Direction::kApply, options);
  }
  absl::Status Undo(const ApplyOptions& options) override {
    return Go(Direction::kUndo, options);
  }
  void Cancel() override { run_.Cancel(); }
  UpdateProgress Progress() const override { return run_.Progress(); }

 private:
  absl::Status Go(Direction direction, const ApplyOptions& options) {
    for (Change& part : parts_) part.AskOnly(options.threads);
    const auto attempt = [&](Direction to, std::size_t i) {
      return to == Direction::kApply ? parts_[i].Apply() : parts_[i].Undo();
    };
    return run_.RunSteps(direction, options, parts_.size(), attempt);
  }

  UpdateRun run_{"one by one"};
  std::vector<Change> parts_;
};

TEST(OwnScheduleTest, OneByOne) {
  std::string log;
  const auto apply = [&] { return log += "+", absl::OkStatus(); };
  const auto undo = [&] { return log += "-", absl::OkStatus(); };
  OneByOne update({Change(MakeHook("first", apply, undo)),
                   Change(MakeHook("second", apply, undo))});
  EXPECT_TRUE(update.Apply({}).ok() && update.Undo({}).ok());
  EXPECT_EQ(log, "++--");
}

}  // namespace instar
