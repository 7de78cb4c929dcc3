// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What programs meet on processors where functions have no entries: it is
// compiled so on every one (BUILD).

#include "absl/status/status.h"
#include "code/entries_here.h"
#include "code/entry_check.h"
#include "code/entry_interception.h"
#include "code/function_entry.h"
#include "code/program_check/patching_probe.h"
#include "code/symbols/function.h"
#include "gtest/gtest.h"

namespace instar {

// Known to the program's symbols.
__attribute__((noinline)) int PriceOfItem(int item) { return 2 * item; }
__attribute__((noinline)) int NextPriceOfItem(int item) { return 3 * item; }

namespace {

static_assert(!kHasFunctionEntries);

void ExpectRefusal(const absl::Status& status) {
  EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
  EXPECT_EQ(status.message(),
            "no function entries on this processor: use a Redefinable");
}

TEST(EntriesElsewhereTest, NoFunctionIsRedirected) {
  ExpectRefusal(Redirect(&PriceOfItem, &NextPriceOfItem).status());
  ExpectRefusal(Redirection::PrepareAt({}).status());
  EXPECT_EQ(PriceOfItem(1), 2);
  EXPECT_EQ(Original(&PriceOfItem), &PriceOfItem);
  const auto function = Function::Of(&PriceOfItem);
  ASSERT_TRUE(function.ok()) << function.status();
  EXPECT_EQ(RedirectedTo(*function), 0u);
  EXPECT_TRUE(AllRedirectionTargets(*function).empty());
  EXPECT_EQ(AllRedirectionTargets({*function, *function}).size(), 2u);
  EXPECT_EQ(RedirectionTargetCount(), 0u);
  EXPECT_TRUE(CheckRedirectedEntries().empty());
  ExpectRefusal(ProbePatching());
}

TEST(EntriesElsewhereTest, NoFunctionIsIntercepted) {
  const auto function = Function::Of(&PriceOfItem);
  ASSERT_TRUE(function.ok()) << function.status();
  ExpectRefusal(EntryInterception::OfAll().status());
  ExpectRefusal(EntryInterception::PrepareAll().status());
  ExpectRefusal(EntryInterception::Preload());
  ExpectRefusal(EntryInterception::Of({*function}).status());
  ExpectRefusal(
      EntryInterception::WithGate({*function}, [](const InterceptedEntry&) {
      }).status());
  ExpectRefusal(EntryInterception::WithLookup({*function}).status());
  const ScopedEntryInterceptor nobody_calls(
      [](const InterceptedEntry&) { ADD_FAILURE(); });
  EXPECT_EQ(PriceOfItem(1), 2);
}

}  // namespace
}  // namespace instar
