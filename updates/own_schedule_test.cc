// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A schedule of one's own, with public headers alone: one mechanism after the
// other, each at a moment of its own.

#include "gtest/gtest.h"
#include "updates/change.h"
#include "updates/mechanisms/hook.h"
#include "updates/update_run.h"

namespace instar {

class OneByOne final : public Update {
 public:
  explicit OneByOne(std::vector<Change> changes) : changes_(changes) {}

  const std::string& name() const override { return run_.name(); }
  absl::StatusOr<UpdateForecast> Prepare() override {
    UpdateForecast forecast;
    absl::Status status;
    for (Change& each : changes_) status.Update(each.Prepare(&forecast));
    if (!status.ok()) return status;
    return forecast;
  }
  absl::Status CanUndo() const override {
    absl::Status status;
    for (const Change& each : changes_) status.Update(each.CanUndo());
    return status;
  }
  absl::Status Apply(const ApplyOptions& options) override {
    return Go(UpdatePhase::kPrepared, Direction::kApply, options);
  }
  absl::Status Undo(const ApplyOptions& options) override {
    return Go(UpdatePhase::kApplied, Direction::kUndo, options);
  }
  void Cancel() override { run_.Cancel(); }
  UpdateProgress Progress() const override { return run_.Progress(); }

 private:
  // What is between two of them may be looked at, and cancelled.
  absl::Status Go(UpdatePhase from, Direction to, const ApplyOptions& options) {
    absl::Status status = run_.Begin(from);
    if (!status.ok()) return status;
    const std::size_t before = done_;
    const std::size_t wanted = to == Direction::kApply ? changes_.size() : 0;
    for (Change& each : changes_) each.AskOnly(options.threads);
    while (status.ok() && done_ != wanted)
      status = run_.Repeat(to, options, [&] { return Step(wanted); });
    absl::Status back;
    while (!status.ok() && back.ok() && done_ != before)
      back = run_.TakeBack(to, options, [&] { return Step(before); });
    run_.End(!back.ok()   ? UpdatePhase::kBroken
             : done_ == 0 ? UpdatePhase::kPrepared
                          : UpdatePhase::kApplied);
    return back.ok() ? status : absl::DataLossError(back.message());
  }
  Attempt Step(std::size_t towards) {
    const bool applies = done_ < towards;
    Attempt attempt =
        applies ? changes_[done_].Apply() : changes_[done_ - 1].Undo();
    if (attempt.is_done()) done_ = applies ? done_ + 1 : done_ - 1;
    return attempt;
  }

  UpdateRun run_{"one by one"};
  std::vector<Change> changes_;
  std::size_t done_ = 0;
};

TEST(OwnScheduleTest, OneByOne) {
  std::string log;
  const auto hook = [&](const char* what) {
    return [&log, what] { return log += what, absl::OkStatus(); };
  };
  const Change a(MakeHook("a", hook("a"), hook("-a")));
  OneByOne update({a, Change(MakeHook("b", hook("b"), hook("-b")))});
  EXPECT_TRUE(absl::IsFailedPrecondition(update.Undo({})));
  EXPECT_EQ(update.Apply({}), absl::OkStatus());
  EXPECT_EQ(update.Undo({}), absl::OkStatus());
  EXPECT_EQ(log, "ab-b-a");
  const auto fail = [] { return absl::InternalError("no c"); };
  OneByOne failing({a, Change(MakeHook("c", fail, hook("-c")))});
  EXPECT_TRUE(absl::IsInternal(failing.Apply({})));
  EXPECT_EQ(log, "ab-b-aa-a");
  // Taken back, though nobody waits any more.
  OneByOne* cancelled = nullptr;
  const auto cancel = [&] { return cancelled->Cancel(), absl::OkStatus(); };
  OneByOne of_two({a, Change(MakeHook("d", cancel, hook("-d"))), a});
  cancelled = &of_two;
  EXPECT_TRUE(absl::IsCancelled(of_two.Apply({})));
  EXPECT_EQ(log, "ab-b-aa-aa-d-a");
}

}  // namespace instar
