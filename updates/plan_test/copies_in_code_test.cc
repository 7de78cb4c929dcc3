// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A class is converted while a thread is inside of one of its functions, as it
// was inlined into a source file that has debug information (IS_DESCRIBED,
// BUILD), or has none.

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/class_version.h"
#include "threads/update_point.h"
#include "updates/plan_test/depot_for_test.h"
#include "updates/testing/update_fixture.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace updates_test;  // NOLINT: the functions under test

class CopiesInCodeTest : public UpdateFixture {
 protected:
  void SetUp() override {
    // No name here has the class in it.
    StartThread("visitor", [this] {
      GoThere([this] {
        is_inside_ = true;
        while (!leave_) UpdatePoint();
      });
    });
    while (!is_inside_) std::this_thread::yield();
    Make("depot", [](UpdatePlan& plan) {
      plan.ConvertEagerly<Depot, DepotV2>();
      return absl::OkStatus();
    });
  }
  void TearDown() override {
    leave_ = true;
    UpdateFixture::TearDown();
  }

  static bool IsConverted() {
    return version_cast<DepotV2>(&TheDepot()) != nullptr;
  }

  std::atomic<bool> is_inside_{false};
  std::atomic<bool> leave_{false};
};

TEST_F(CopiesInCodeTest, ConversionWaitsOrIsRefused) {
  if (!IS_DESCRIBED) {
    const absl::Status refused = TryApply(std::chrono::seconds(60));
    EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(refused.message()),
                AllOf(HasSubstr("Depot"), HasSubstr("GoThere"),
                      HasSubstr("no debug information")));
    EXPECT_FALSE(IsConverted());
    return;
  }
  // On a machine that is busy the thread does not always stop in time.
  absl::Status waits;
  do {
    waits = TryApply(std::chrono::milliseconds(20));
    ASSERT_EQ(waits.code(), absl::StatusCode::kDeadlineExceeded) << waits;
    EXPECT_FALSE(IsConverted());
  } while (!absl::StrContains(waits.message(), "GoThere"));
  leave_ = true;
  Apply();
  EXPECT_TRUE(IsConverted());
}

}  // namespace
}  // namespace instar
