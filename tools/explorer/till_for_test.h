// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A till, which the explorer's tests update. A price is quoted by one function
// and charged by another: what the number means is agreed between them.

#ifndef INSTAR_TOOLS_EXPLORER_TILL_FOR_TEST_H_
#define INSTAR_TOOLS_EXPLORER_TILL_FOR_TEST_H_

#include <string>

#include "absl/status/status.h"
#include "updates/thread_updates.h"
#include "updates/update_plan.h"

namespace till {

constexpr int kItems = 5;

int Quote(int item);  // in cents
std::string Charge(int item, int price);
// Quotes and charges, with an update point in between.
void Sell(int item);
// Sells kItems items, with an update point "between sales" before each.
void SellAll();

// Runs SellAll() in a thread "till".
void Workload();
void ActiveWorkload();
// Sell() twice, and nothing in between.
void WorkloadThatBeginsInside();

// Prices in euros: Quote() and Charge() change together, and neither is active
// at the point between them.
absl::Status InEuros(instar::UpdatePlan& plan);
// The same, between sales only.
absl::Status InEurosBetweenSales(instar::UpdatePlan& plan);
// Charge() and then its caller Sell(), each when it is quiescent in the thread.
absl::Status OneByOne(instar::ThreadUpdates& updates);
// The same, between sales only.
absl::Status OneByOneBetweenSales(instar::ThreadUpdates& updates);
// Redefines SellAll(), which is always active.
absl::Status Never(instar::UpdatePlan& plan);
absl::Status NeverInThread(instar::ThreadUpdates& updates);
// Reboots the thread into a function that says so.
absl::Status Closed(instar::UpdatePlan& plan);
// Charge() of a new version, of which the first call is for this item, does
// what must not be.
absl::Status CrashesIfItBeginsAt(instar::UpdatePlan& plan, int item);
absl::Status HangsIfItBeginsAt(instar::UpdatePlan& plan, int item);

}  // namespace till

#endif  // INSTAR_TOOLS_EXPLORER_TILL_FOR_TEST_H_
