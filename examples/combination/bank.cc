// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the bank knows, and what is done with it.

#include "examples/combination/bank.h"

#include <unistd.h>

#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "threads/blocking_region.h"

namespace bank {

std::vector<std::unique_ptr<Account>>& accounts =
    *new std::vector<std::unique_ptr<Account>>;
std::vector<instar::LazyUnique<Customer>>& customers =
    *new std::vector<instar::LazyUnique<Customer>>;
std::vector<instar::LazyUnique<Entry>>& journal =
    *new std::vector<instar::LazyUnique<Entry>>;
long in_transit = 0;
std::mutex books;
std::vector<long> runs;

std::atomic<bool> books_are_open{true};
std::atomic<bool> is_over{false};
std::atomic<long> transfers{0};

Transfer Draw(int i) {
  return {1 + i % kCustomers, 1 + 13 * i % kCustomers, 1 + i % 100, /*fee=*/2};
}

void Take(const Transfer& transfer) {
  const std::lock_guard<std::mutex> lock(books);
  accounts[transfer.from]->balance -= transfer.amount + transfer.fee;
  in_transit += transfer.amount + transfer.fee;
}

void Put(const Transfer& transfer) {
  const std::lock_guard<std::mutex> lock(books);
  in_transit -= transfer.amount + transfer.fee;
  accounts[transfer.to]->balance += transfer.amount;
  accounts[0]->balance += transfer.fee;
  journal.emplace_back(
      std::make_unique<Entry>(transfer.from, transfer.to, transfer.amount));
  ++transfers;
}

long Total() {
  const std::lock_guard<std::mutex> lock(books);
  long total = in_transit;
  for (const auto& account : accounts) total += account->balance;
  return total;
}

bool IsAllThere() { return Total() == kOpening; }

std::string CheckJournal() {
  const std::lock_guard<std::mutex> lock(books);
  for (const auto& entry : journal) {
    if (entry->cents < 1 || entry->cents > 100) return "the journal is wrong";
  }
  return "the journal is right";
}

namespace {
std::string InCents(long amount) {
  return absl::StrFormat("%d.%02d", amount / 100, amount % 100);
}
}  // namespace
instar::Redefinable<std::string(long)> text(&InCents);

long Pay(const Customer& customer) {
  const std::lock_guard<std::mutex> lock(books);
  accounts[0]->balance -= 3;
  accounts[customer.account]->balance += 3;
  return 3;
}

void Note(long paid) {
  runs.push_back(paid);
  Say(absl::StrCat("interest so far: ",
                   absl::StrJoin(runs, ", ", [](std::string* out, long amount) {
                     absl::StrAppend(out, text(amount));
                   })));
}

void OpenBank() {
  for (int i = 0; i <= kCustomers; ++i) {
    accounts.push_back(std::make_unique<Account>());
    accounts.back()->balance = kOpening / 2 / kCustomers;
  }
  accounts[0]->balance = kOpening / 2;
  for (int i = 1; i <= kCustomers; ++i) {
    customers.emplace_back(std::make_unique<Customer>());
    customers.back()->account = i;
  }
  for (int i = 0; i < kOldEntries; ++i) {
    const Transfer old = Draw(i);
    journal.emplace_back(std::make_unique<Entry>(old.from, old.to, old.amount));
  }
}

std::optional<std::string> NextLine() {
  std::string line;
  while (true) {
    instar::AwaitReadable(STDIN_FILENO);
    char byte;
    if (read(STDIN_FILENO, &byte, 1) != 1) return std::nullopt;
    if (byte == '\n') return line;
    line += byte;
  }
}

void Say(const std::string& line) { std::cout << line << std::endl; }

}  // namespace bank
