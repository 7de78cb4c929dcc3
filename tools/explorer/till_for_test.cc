// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/explorer/till_for_test.h"

#include <cstdlib>
#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "threads/update_request.h"
#include "updates/mechanisms/redefine.h"
#include "updates/thread_updates.h"
#include "updates/update_plan.h"

namespace till {

int Quote(int item) { return 100 * item; }

std::string Charge(int item, int price) {
  return absl::StrCat("item ", item, " for ", price, " cents");
}

void Sell(int item) {
  const int price = Quote(item);
  instar::UpdatePoint();
  std::cout << Charge(item, price) << std::endl;
}

void SellAll() {
  for (int item = 1; item <= kItems; ++item) {
    instar::UpdatePoint("between sales");
    Sell(item);
  }
}

void Workload() { instar::StartPassiveThread("till", &SellAll); }

void ActiveWorkload() { instar::StartActiveThread("till", &SellAll); }

void WorkloadThatBeginsInside() {
  instar::StartPassiveThread("till", [] {
    Sell(1);
    Sell(2);
  });
}

namespace {

int QuoteInEuros(int item) { return item; }

std::string ChargeInEuros(int item, int price) {
  return absl::StrCat("item ", item, " for ", price, " euros");
}

void SellInEuros(int item) {
  const int price = Quote(item) / 100;
  instar::UpdatePoint();
  std::cout << Charge(item, price) << std::endl;
}

void NewSellAll() {}

int bad_item = 0;
bool has_begun = false;

// Whether this is the first call, and for that item.
bool IsBad(int item) {
  const bool is_bad = !has_begun && item == bad_item;
  has_begun = true;
  return is_bad;
}

std::string CrashingCharge(int item, int price) {
  if (IsBad(item)) {
    std::cerr << "no such item" << std::endl;
    std::abort();
  }
  return ChargeInEuros(item, price / 100);
}

std::string HangingCharge(int item, int price) {
  while (IsBad(item)) {
    bad_item = item;
    has_begun = false;
  }
  return ChargeInEuros(item, price / 100);
}

}  // namespace

absl::Status InEuros(instar::UpdatePlan& plan) {
  plan.Redefine(&Quote, &QuoteInEuros);
  plan.Redefine(&Charge, &ChargeInEuros);
  return absl::OkStatus();
}

absl::Status InEurosBetweenSales(instar::UpdatePlan& plan) {
  plan.AtUpdatePoint("between sales");
  return InEuros(plan);
}

namespace {

absl::Status OneByOneAt(const std::string& point,
                        instar::ThreadUpdates& updates) {
  instar::UpdateOptions where;
  where.point = point;
  updates.Add("till", instar::Redefine(&Charge, &ChargeInEuros), {}, where);
  updates.Add("till", instar::Redefine(&Sell, &SellInEuros), {}, where);
  return absl::OkStatus();
}

}  // namespace

absl::Status OneByOne(instar::ThreadUpdates& updates) {
  return OneByOneAt("", updates);
}

absl::Status OneByOneBetweenSales(instar::ThreadUpdates& updates) {
  return OneByOneAt("between sales", updates);
}

absl::Status NeverInThread(instar::ThreadUpdates& updates) {
  updates.Add("till", instar::Redefine(&SellAll, &NewSellAll));
  return absl::OkStatus();
}

absl::Status Never(instar::UpdatePlan& plan) {
  plan.Redefine(&SellAll, &NewSellAll);
  return absl::OkStatus();
}

absl::Status Closed(instar::UpdatePlan& plan) {
  plan.Reboot("till", [] {
    instar::UpdatePoint();
    std::cout << "closed" << std::endl;
  });
  return absl::OkStatus();
}

absl::Status CrashesIfItBeginsAt(instar::UpdatePlan& plan, int item) {
  bad_item = item;
  plan.Redefine(&Charge, &CrashingCharge);
  return absl::OkStatus();
}

absl::Status HangsIfItBeginsAt(instar::UpdatePlan& plan, int item) {
  bad_item = item;
  plan.Redefine(&Charge, &HangingCharge);
  return absl::OkStatus();
}

}  // namespace till
