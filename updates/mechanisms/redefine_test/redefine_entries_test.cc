// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/redefine_entries.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/testing/inside.h"
#include "base/testing/sanitizers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "updates/change.h"
#include "updates/mechanisms/redefine.h"
#include "updates/testing/functions_for_test.h"

namespace instar {
namespace {

using testing::HasSubstr;
using namespace updates_test;  // NOLINT: the functions under test

template <typename F>
std::uintptr_t At(F* function) {
  return reinterpret_cast<std::uintptr_t>(function);
}

TEST(RedefineEntriesTest, SwitchesForthAndBack) {
  Change update(RedefineEntries({{At(&Price), At(&Price2), "Price"},
                                 {At(&Send), At(&Send2), "Send"},
                                 {At(&Receive), At(&Receive2), "Receive"}}));
  const int sent = Send(1);
  for (int i = 0; i < 2; ++i) {
    const Attempt attempt = update.Apply();
    ASSERT_TRUE(attempt.is_done()) << attempt.reason();
    EXPECT_EQ(Price(1), 201);
    EXPECT_NE(Send(1), sent);
    ASSERT_TRUE(update.Undo().is_done());
    EXPECT_EQ(Price(1), 101);
    EXPECT_EQ(Send(1), sent);
  }
}

TEST(RedefineEntriesTest, IsOneLayerAmongOthers) {
  Change by_name(Redefine(&Price, &Price2));
  Change by_address(RedefineEntries({{At(&Price), At(&Price3), "Price"}}));
  ASSERT_TRUE(by_name.Apply().is_done());
  ASSERT_TRUE(by_address.Apply().is_done());
  EXPECT_EQ(Price(1), 301);
  ASSERT_TRUE(by_address.Undo().is_done());
  EXPECT_EQ(Price(1), 201);
  ASSERT_TRUE(by_name.Undo().is_done());
  EXPECT_EQ(Price(1), 101);
}

TEST(RedefineEntriesTest, WaitsOnlyForThoseThatMustBeQuiescent) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  Inside inside([](const Inside::Stay& stay) { Depth(3, stay); });
  Change at_once(RedefineEntries({{At(&Depth), At(&Depth2), "Depth", false}}),
                 Stacks::kAllThreads);
  Change waiting(RedefineEntries({{At(&Depth), At(&Depth2), "Depth", true}}),
                 Stacks::kAllThreads);
  Change watching(RedefineEntries({{At(&Price), At(&Price2), "Price"},
                                   {At(&Depth) + 5, 0, "Depth"}}),
                  Stacks::kAllThreads);
  EXPECT_TRUE(at_once.Apply().is_done());
  EXPECT_TRUE(at_once.Undo().is_done());
  EXPECT_TRUE(waiting.Apply().is_not_yet());
  EXPECT_TRUE(watching.Apply().is_not_yet());
  EXPECT_EQ(Price(1), 101);
  inside.Leave();
  EXPECT_TRUE(waiting.Apply().is_done());
  EXPECT_EQ(Depth(1, [] {}), -1);
  EXPECT_TRUE(waiting.Undo().is_done());
  EXPECT_TRUE(watching.Apply().is_done());
  EXPECT_EQ(Price(1), 201);
  EXPECT_TRUE(watching.Undo().is_done());
}

TEST(RedefineEntriesTest, WhatIsNoEntryIsAnError) {
  Change inside(RedefineEntries({{At(&Price) + 1, At(&Price2), "Price"}}));
  const absl::Status status = inside.Prepare();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("Price"));
  Change nowhere(RedefineEntries({{At(&Price), 0x1000, "Price"}}));
  EXPECT_EQ(nowhere.Prepare().code(), absl::StatusCode::kInvalidArgument);
  Change nothing(RedefineEntries({{0x1000, 0, "Nothing"}}));
  EXPECT_THAT(std::string(nothing.Prepare().message()),
              HasSubstr("Nothing has to be on no stack"));
}

TEST(RedefineEntriesTest, ItsNameListsSome) {
  EXPECT_EQ(RedefineEntries({{1, 2, "_ZN4shop5PriceEi"}, {3, 0, "x"}})->name(),
            "redefine shop::Price(int)");
  const WipedVector<EntryRedefinition> many(8, {1, 2, "f"});
  EXPECT_EQ(RedefineEntries(many)->name(), "redefine f, f, f, f, f and 3 more");
}

}  // namespace
}  // namespace instar
