// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A small bank. All amounts are in cents, and all money is always there:
// docs/examples/combination.md.

#ifndef INSTAR_EXAMPLES_COMBINATION_BANK_H_
#define INSTAR_EXAMPLES_COMBINATION_BANK_H_

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "code/redefinable.h"
#include "heap/lazy_proxy.h"
#include "heap/updatable.h"

namespace bank {

struct Account : instar::Updatable<Account> {
  long balance = 0;
};

struct Customer : instar::Updatable<Customer> {
  int account = 0;
};

// Of the journal. Transfers are of whole cents.
struct Entry : instar::Updatable<Entry> {
  Entry(int f, int t, long c) : from(f), to(t), cents(c) {}
  int from;
  int to;
  long cents;
};

constexpr int kCustomers = 100;
constexpr long kOpening = 1'000'000;  // all the money there is
constexpr long kOldEntries = 50'000;

// These are never destroyed.
extern std::vector<std::unique_ptr<Account>>& accounts;  // the bank's is first
extern std::vector<instar::LazyUnique<Customer>>& customers;
extern std::vector<instar::LazyUnique<Entry>>& journal;
extern long in_transit;   // taken from an account, and put to none yet
extern std::mutex books;  // of all these

// What has been paid in each run of interest. Of the clerk.
extern std::vector<long> runs;

extern std::atomic<bool> books_are_open;
extern std::atomic<bool> is_over;
extern std::atomic<long> transfers;

struct Transfer {
  int from;
  int to;
  long amount;
  long fee;
};
// The transfer that is next in somebody's series.
Transfer Draw(int i);
// The two halves of one.
void Take(const Transfer& transfer);
void Put(const Transfer& transfer);

long Total();
bool IsAllThere();
std::string CheckJournal();
// "10.00"; any text can be put in its place.
extern instar::Redefinable<std::string(long amount)> text;

// Pays every customer, and notes the run.
void PayInterest();
// If the clerk was told to pause when this one is next: waits at update points.
void PauseAt(int customer);
long Pay(const Customer& customer);
void Note(long paid);

// Waits for a line of the input.
std::optional<std::string> NextLine();
void Say(const std::string& line);

// Of the threads.
void TellerMain();
void ClerkMain();
void MoverMain(int first);
void AuditorMain(long audits);
void CountAudit(bool is_all_there);
void EndAudits(long audits);
// When they have ended: no audit found a fault, and none was forgotten.
bool WasAllWell();

void OpenBank();
// How the clerk is told what to do.
void OrderInterest(int pause_at);  // -1: nowhere
void LetClerkGoOn();
void WakeClerk();

}  // namespace bank

#endif  // INSTAR_EXAMPLES_COMBINATION_BANK_H_
