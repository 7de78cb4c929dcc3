// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A schedule of one's own, with public headers alone.

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "gtest/gtest.h"
#include "updates/change.h"
#include "updates/mechanisms/hook.h"
#include "updates/update.h"
#include "updates/update_run.h"

namespace instar {
namespace {

// One mechanism after the other, each at a moment of its own, with a pause in
// between in which somebody may look at the program, and say stop.
class OneByOne final : public Update {
 public:
  explicit OneByOne(std::vector<Change> changes) : changes_(changes) {}

  const std::string& name() const override { return run_.name(); }
  absl::StatusOr<UpdateForecast> Prepare() override {
    UpdateForecast forecast;
    for (Change& change : changes_) {
      INSTAR_RETURN_IF_ERROR(change.Prepare(&forecast));
    }
    return forecast;
  }
  absl::Status Apply(const ApplyOptions& o) override { return Run(true, o); }
  absl::Status Undo(const ApplyOptions& o) override { return Run(false, o); }
  absl::Status CanUndo() const override {
    absl::Status status;
    for (const Change& change : changes_) status.Update(change.CanUndo());
    return status;
  }
  void Cancel() override { run_.Cancel(); }
  UpdateProgress Progress() const override { return run_.Progress(); }

 private:
  absl::Status Run(bool applies, const ApplyOptions& options) {
    const auto from = applies ? UpdatePhase::kPrepared : UpdatePhase::kApplied;
    const auto to = applies ? UpdatePhase::kApplied : UpdatePhase::kPrepared;
    INSTAR_RETURN_IF_ERROR(run_.Begin(from));
    const auto step = [&](std::size_t i, bool apply) {
      Change& change = changes_[applies ? i : changes_.size() - 1 - i];
      return run_.Repeat(
          apply ? Direction::kApply : Direction::kUndo, options,
          [&] { return apply ? change.Apply() : change.Undo(); });
    };
    absl::Status status;
    std::size_t done = 0;
    while (done < changes_.size() && (status = step(done, applies)).ok())
      ++done;
    while (!status.ok() && done > 0) step(--done, !applies).IgnoreError();
    run_.End(status.ok() ? to : from);
    return status;
  }

  UpdateRun run_{"one by one"};
  std::vector<Change> changes_;
};

TEST(OwnScheduleTest, OneByOne) {
  std::string done;
  const auto hook = [&](const char* what) {
    return [&done, what] { return done += what, absl::OkStatus(); };
  };
  OneByOne update({Change(MakeHook("a", hook("a"), hook("-a"))),
                   Change(MakeHook("b", hook("b"), hook("-b")))});
  EXPECT_EQ(update.Apply({}), absl::OkStatus());
  EXPECT_EQ(update.Undo({}), absl::OkStatus());
  EXPECT_EQ(std::exchange(done, ""), "ab-b-a");
  const auto fail = [] { return absl::InternalError("no c"); };
  OneByOne failing({Change(MakeHook("a", hook("a"), hook("-a"))),
                    Change(MakeHook("c", fail, hook("-c")))});
  EXPECT_TRUE(absl::IsInternal(failing.Apply({})));
  EXPECT_EQ(done, "a-a");
}

}  // namespace
}  // namespace instar
