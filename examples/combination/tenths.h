// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The next version of the bank, which counts in tenths of a cent: the fee of a
// transfer is 1.5 cents, and interest 2.5. How it comes into the program is
// said by those who include this: tenths.cc and tenths_by_thread.cc.
//
// All that reads accounts understands both versions of them.

#ifndef INSTAR_EXAMPLES_COMBINATION_TENTHS_H_
#define INSTAR_EXAMPLES_COMBINATION_TENTHS_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "examples/combination/bank.h"
#include "stack/stack_snapshot.h"
#include "threads/attempt.h"
#include "threads/rendezvous.h"

namespace bank {

struct AccountV2 : Account {
  explicit AccountV2(Account&& old) noexcept : Account(std::move(old)) {}
  int tenths = 0;  // besides the cents of `balance`, 0 to 9
};

struct CustomerV2 : Customer {
  explicit CustomerV2(Customer&& old) noexcept : Customer(std::move(old)) {}
  long interest = 25;  // each time
};

struct EntryV2 : Entry {
  explicit EntryV2(Entry&& old) noexcept : Entry(std::move(old)) {}
  long fee = 20;  // of those that there were
};

// Instead of `in_transit` and `runs`.
extern long tenths_in_transit;
extern std::vector<long> tenths_runs;

// Amounts are in tenths from here on.
Transfer NewDraw(int i);
void NewTake(const Transfer& transfer);
void NewPut(const Transfer& transfer);
long NewTotal();
bool NewIsAllThere();
std::string NewCheckJournal();
std::string InTenths(long amount);

void NewPayInterest();
// What is left to do of a run of interest that has begun: in the new version
// and, when the update is undone, in the old one.
struct RestOfRun {
  int next;
  long paid;
};
void PayRest(RestOfRun rest);
void PayOldRest(RestOfRun rest);
absl::StatusOr<RestOfRun> CaptureRun(instar::StackBounds activation);
absl::StatusOr<RestOfRun> CaptureNewRun(instar::StackBounds activation);

// A request may have a comment behind it: "total  # of the evening".
std::optional<std::string> NewNextLine();

// Looks at each account, too.
void NewAuditorMain(long audits);
absl::StatusOr<long> CaptureAudits(const instar::HeldThread& auditor);

// Puts a tenth of a cent aside, for one customer after the other.
void SaverMain();

// The runs so far, there and back.
absl::Status ToTenths(const std::vector<long>& old, std::vector<long>& now);
absl::Status ToCents(const std::vector<long>& now, std::vector<long>& old);

// What is less than a cent goes to the bank, when the update is undone.
absl::Status RoundDown();

instar::Attempt WhenTheBooksAreOpen();

}  // namespace bank

#endif  // INSTAR_EXAMPLES_COMBINATION_TENTHS_H_
