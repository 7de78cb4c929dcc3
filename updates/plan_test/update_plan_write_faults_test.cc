// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Plans whose writes of code fail, one after the other.

#include <sys/types.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "code/internal/text_patch.h"
#include "code/program_text_for_test.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/testing/functions_for_test.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using code_test::ProgramText;
using namespace updates_test;  // NOLINT: the functions under test

// Lets the write of this number fail, counted from 0.
int writes = 0, failing_write = 0;
// Whether threads are held, and how often code was written then.
bool are_held = false;
int writes_while_held = 0;

ssize_t FailOnce(int file, const void* bytes, std::size_t size,
                 std::uintptr_t address) {
  if (are_held) ++writes_while_held;
  if (writes++ == failing_write) {
    errno = EIO;
    return -1;
  }
  return code_internal::ScopedTextPatchCalls::Real().write_at(file, bytes, size,
                                                              address);
}

// First and last of a plan: between two of them, threads are held.
class HeldMark final : public Mechanism {
 public:
  explicit HeldMark(bool is_first) : is_first_(is_first) {}
  std::string name() const override { return "a mark"; }
  Attempt Apply(const StoppedWorld&) override {
    are_held = is_first_;
    return Attempt::Done();
  }
  Attempt Undo(const StoppedWorld&) override {
    are_held = !is_first_;
    return Attempt::Done();
  }

 private:
  const bool is_first_;
};

int Changed(int a) { return a + 1000; }

// Of which each can be changed and stays written to once: entries that could
// not be restored stay as they are, and the next time there is less to write.
using Changeable = int (*)(int);
const std::vector<Changeable>& Changeables() {
  static const auto& all = *new std::vector<Changeable>{
      &Price, &Price2,   &Price3, &Send,   &Receive,
      &Send2, &Receive2, &Dwell,  &Dwell2, &instar_test_plain_c};
  return all;
}
std::size_t next_changeable = 0;

// An update of one function, and a thread that calls it all the time.
class Changing {
 public:
  explicit Changing(Changeable function)
      : function_(function), old_result_(function(7)) {
    UpdatePlan plan("write");
    plan.Add(std::make_shared<HeldMark>(true));
    plan.Redefine(function, &Changed);
    plan.Add(std::make_shared<HeldMark>(false));
    update_ = MakeUpdate(std::move(plan));
  }
  ~Changing() { stop_ = true; }

  absl::Status Do(bool apply) {
    ApplyOptions patiently;
    patiently.timeout = std::chrono::seconds(60);
    return apply ? update_->Apply(patiently) : update_->Undo(patiently);
  }

  // All calls that begin from now on have this effect.
  void Expect(bool applied) {
    // New if it was Prepare() that could not write.
    const UpdatePhase phase = update_->Progress().phase;
    EXPECT_EQ(phase == UpdatePhase::kApplied, applied);
    EXPECT_EQ(phase == UpdatePhase::kPrepared || phase == UpdatePhase::kNew,
              !applied);
    EXPECT_EQ(function_(7), applied ? 1007 : old_result_);
    const long seen = calls_;
    while (calls_ < seen + 10) std::this_thread::yield();
    EXPECT_EQ(wrong_, 0);
  }

 private:
  const Changeable function_;
  const int old_result_;
  std::unique_ptr<Update> update_;
  std::atomic<bool> stop_{false};
  std::atomic<long> calls_{0}, wrong_{0};
  ControlledThread caller_ = StartPassiveThread("caller", [this] {
    while (!stop_) {
      const int result = function_(7);
      wrong_ += result != old_result_ && result != 1007;
      ++calls_;
      UpdatePoint();
    }
  });
};

// Applies or undoes an update of one function with one write after the other
// failing, until none is left to fail.
void FailEachWrite(bool apply) {
  int refused = 0, left_behind = 0;
  writes_while_held = 0;
  bool is_done = false;
  failing_write = 0;
  while (!is_done) {
    ASSERT_LT(next_changeable, Changeables().size());
    Changing changing(Changeables()[next_changeable++]);
    if (!apply) {
      ASSERT_EQ(changing.Do(true), absl::OkStatus());
    }
    const std::string before = ProgramText();
    for (bool is_refused = true; is_refused; ++failing_write) {
      SCOPED_TRACE(testing::Message() << "write " << failing_write);
      ASSERT_LT(failing_write, 1000);
      writes = 0;
      testing::internal::CaptureStderr();
      absl::Status status;
      {
        const code_internal::ScopedTextPatchCalls faults(
            {&FailOnce, code_internal::ScopedTextPatchCalls::Real().serialize});
        status = changing.Do(apply);
      }
      const std::string said = testing::internal::GetCapturedStderr();
      is_refused = !status.ok();
      if (is_refused) {
        ++refused;
        EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
        EXPECT_EQ(said, "");
        changing.Expect(/*applied=*/!apply);
        EXPECT_TRUE(ProgramText() == before);
        continue;
      }
      is_done = writes <= failing_write;  // nothing has failed
      if (!is_done) {
        // After it has taken effect: the entry stays as it was meanwhile.
        ++left_behind;
        EXPECT_TRUE(absl::StrContains(said, "cannot be restored")) << said;
      } else {
        EXPECT_EQ(said, "");
        EXPECT_FALSE(ProgramText() == before);
      }
      changing.Expect(/*applied=*/apply);
    }
    // And it works, as often as one likes.
    ASSERT_EQ(changing.Do(!apply), absl::OkStatus());
    changing.Expect(/*applied=*/!apply);
    if (is_done) {
      EXPECT_TRUE(ProgramText() == before);
      --next_changeable;  // nothing of it stays
    }
    ASSERT_EQ(changing.Do(apply), absl::OkStatus());
    changing.Expect(/*applied=*/apply);
    if (apply) {
      ASSERT_EQ(changing.Do(false), absl::OkStatus());
    }
  }
  // Three phases each, before and after threads were held.
  EXPECT_GE(refused, 3);
  EXPECT_GE(left_behind, 3);
  EXPECT_EQ(writes_while_held, 0);
}

TEST(UpdatePlanWriteFaultsTest, OfApply) { FailEachWrite(/*apply=*/true); }
TEST(UpdatePlanWriteFaultsTest, OfUndo) { FailEachWrite(/*apply=*/false); }

}  // namespace
}  // namespace instar
