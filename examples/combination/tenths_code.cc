// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <unistd.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "examples/combination/tenths.h"
#include "heap/class_version.h"
#include "stack/exposed_values.h"
#include "threads/blocking_region.h"
#include "threads/update_point.h"

namespace bank {

long tenths_in_transit = 0;
std::vector<long> tenths_runs;

namespace {

long BalanceOf(const Account& account) {
  const auto* const now = instar::version_cast<AccountV2>(&account);
  return 10 * account.balance + (now == nullptr ? 0 : now->tenths);
}

// With the books locked.
void Add(int number, long amount) {
  AccountV2& account = *instar::version_cast<AccountV2>(&*accounts[number]);
  const long sum = BalanceOf(account) + amount;
  account.tenths = static_cast<int>((sum % 10 + 10) % 10);
  account.balance = (sum - account.tenths) / 10;
}

long PayNow(const Customer& customer) {
  const std::lock_guard<std::mutex> lock(books);
  const long interest = instar::version_cast<CustomerV2>(&customer)->interest;
  Add(0, -interest);
  Add(customer.account, interest);
  return interest;
}

void NoteNow(long paid) {
  tenths_runs.push_back(paid);
  Say(absl::StrCat(
      "interest so far: ",
      absl::StrJoin(tenths_runs, ", ", [](std::string* out, long amount) {
        absl::StrAppend(out, InTenths(amount));
      })));
}

bool IsTidy() {
  const std::lock_guard<std::mutex> lock(books);
  for (const auto& account : accounts) {
    const auto* const now = instar::version_cast<AccountV2>(account.get());
    if (now != nullptr && (now->tenths < 0 || now->tenths > 9)) return false;
  }
  return true;
}

}  // namespace

Transfer NewDraw(int i) {
  return {1 + i % kCustomers, 1 + 13 * i % kCustomers, 10 * (1 + i % 100),
          /*fee=*/15};
}

void NewTake(const Transfer& transfer) {
  const std::lock_guard<std::mutex> lock(books);
  Add(transfer.from, -transfer.amount - transfer.fee);
  tenths_in_transit += transfer.amount + transfer.fee;
}

void NewPut(const Transfer& transfer) {
  const std::lock_guard<std::mutex> lock(books);
  tenths_in_transit -= transfer.amount + transfer.fee;
  Add(transfer.to, transfer.amount);
  Add(0, transfer.fee);
  auto entry = std::make_unique<EntryV2>(
      Entry(transfer.from, transfer.to, transfer.amount / 10));
  entry->fee = transfer.fee;
  journal.emplace_back(std::move(entry));
  ++transfers;
}

long NewTotal() {
  const std::lock_guard<std::mutex> lock(books);
  long total = 10 * in_transit + tenths_in_transit;
  for (const auto& account : accounts) total += BalanceOf(*account);
  return total;
}

bool NewIsAllThere() { return NewTotal() == 10 * kOpening; }

std::string NewCheckJournal() {
  const std::lock_guard<std::mutex> lock(books);
  for (const auto& entry : journal) {
    const auto* const now = instar::version_cast<EntryV2>(entry.get());
    const bool is_right = now != nullptr && now->cents >= 1 &&
                          now->cents <= 100 &&
                          (now->fee == 20 || now->fee == 15);
    if (!is_right) return "the journal is wrong";
  }
  return "the journal is right, with the fees";
}

std::string InTenths(long amount) {
  return absl::StrFormat("%d.%03d", amount / 1000, amount % 1000);
}

void NewPayInterest() { PayRest({0, 0}); }

void PayRest(RestOfRun rest) {
  instar::ExposedValue expose_rest("rest", rest);
  for (; rest.next < kCustomers; ++rest.next) {
    PauseAt(rest.next);
    rest.paid += PayNow(*customers[rest.next]);
  }
  NoteNow(rest.paid);
}

void PayOldRest(RestOfRun rest) {
  int& next = rest.next;
  long& paid = rest.paid;
  instar::ExposedValue expose_next("next", next);
  instar::ExposedValue expose_paid("paid", paid);
  for (; next < kCustomers; ++next) {
    PauseAt(next);
    paid += Pay(*customers[next]);
  }
  Note(paid);
}

absl::StatusOr<RestOfRun> CaptureRun(instar::StackBounds activation) {
  INSTAR_ASSIGN_OR_RETURN(const int next,
                          instar::ReadExposed<int>("next", activation));
  INSTAR_ASSIGN_OR_RETURN(const long paid,
                          instar::ReadExposed<long>("paid", activation));
  return RestOfRun{next, 10 * paid};
}

absl::StatusOr<RestOfRun> CaptureNewRun(instar::StackBounds) {
  INSTAR_ASSIGN_OR_RETURN(RestOfRun rest,
                          instar::ReadExposed<RestOfRun>("rest"));
  rest.paid /= 10;
  return rest;
}

std::optional<std::string> NewNextLine() {
  std::string line;
  while (true) {
    instar::AwaitReadable(STDIN_FILENO);
    char byte;
    if (read(STDIN_FILENO, &byte, 1) != 1) return std::nullopt;
    if (byte == '\n') break;
    line += byte;
  }
  line = line.substr(0, line.find('#'));
  return std::string(absl::StripTrailingAsciiWhitespace(line));
}

void NewAuditorMain(long audits) {
  instar::ExposedValue expose_audits("audits", audits);
  while (!is_over) {
    CountAudit(IsAllThere() && IsTidy());
    ++audits;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  EndAudits(audits);
}

absl::StatusOr<long> CaptureAudits(const instar::HeldThread&) {
  return instar::ReadExposed<long>("audits");
}

void SaverMain() {
  for (int i = 1;; i = 1 + i % (kCustomers - 1)) {
    {
      const std::lock_guard<std::mutex> lock(books);
      Add(i, -1);
      Add(i + 1, 1);
    }
    instar::UpdatePoint();
    instar::SleepFor(std::chrono::microseconds(500));
  }
}

absl::Status ToTenths(const std::vector<long>& old, std::vector<long>& now) {
  std::vector<long> all;
  for (const long paid : old) all.push_back(10 * paid);
  all.insert(all.end(), now.begin(), now.end());
  now = std::move(all);
  return absl::OkStatus();
}

absl::Status ToCents(const std::vector<long>& now, std::vector<long>& old) {
  old.clear();
  for (const long paid : now) old.push_back(paid / 10);
  return absl::OkStatus();
}

absl::Status RoundDown() {
  long tenths = 0;
  for (const auto& account : accounts) {
    AccountV2& now = *instar::version_cast<AccountV2>(account.get());
    tenths += std::exchange(now.tenths, 0);
  }
  accounts[0]->balance += tenths / 10;  // all of it: the total is in cents
  return absl::OkStatus();
}

instar::Attempt WhenTheBooksAreOpen() {
  if (books_are_open) return instar::Attempt::Done();
  return instar::Attempt::NotYet("the books are closed");
}

}  // namespace bank
