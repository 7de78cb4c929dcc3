// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the threads of the bank do.

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "examples/combination/bank.h"
#include "stack/exposed_values.h"
#include "threads/blocking_region.h"
#include "threads/update_point.h"

namespace bank {
namespace {

using std::chrono::microseconds;

std::atomic<long> rest_of_movers{0};
std::atomic<long> audits_made{0};
std::atomic<long> faults{0};
std::atomic<bool> was_forgotten{false};  // an audit, when the auditor ended

// What the clerk is told, and how far it is.
std::mutex orders;
std::condition_variable orders_changed;
std::optional<int> ordered;  // where to pause
int pause_at = -1;           // of the clerk
bool is_paused = false;      // too
std::atomic<bool> may_go_on{false};

// Until each mover has carried something.
void AwaitTransfers() {
  const long goal = transfers + 10;
  while (transfers < goal) instar::SleepFor(microseconds(100));
}

void Answer(const std::string& request) {
  int pause = -1;
  if (request == "total") {
    Say(absl::StrCat("the total is ", text(Total())));
  } else if (std::sscanf(request.c_str(), "interest pausing at %d", &pause) ==
                 1 ||
             request == "interest") {
    OrderInterest(pause);
  } else if (request == "go on") {
    LetClerkGoOn();
  } else if (request == "journal") {
    AwaitTransfers();
    Say(CheckJournal());
  } else if (request == "movers") {
    AwaitTransfers();
    Say(absl::StrCat("they rest for ", rest_of_movers.load(), " us"));
  } else if (request == "audits") {
    Say(absl::StrCat("(", audits_made.load(), " audits, ", transfers.load(),
                     " transfers)"));
    Say(absl::StrCat(faults.load(), " audits found that money was missing"));
  } else if (request == "close the books" || request == "open the books") {
    books_are_open = request == "open the books";
    Say(books_are_open ? "the books are open" : "the books are closed");
  } else {
    Say("what is '" + request + "'?");
  }
}

}  // namespace

// Passive: updates come between two requests.
void TellerMain() {
  while (const std::optional<std::string> request = NextLine()) {
    Answer(*request);
    instar::UpdatePoint();
  }
}

// Passive. But for the point between two transfers it carries money, in units
// that its own stack alone knows.
void MoverMain(int first) {
  microseconds rest(1000);
  instar::ExposedValue expose_rest("rest", rest);
  for (int i = first; !is_over; i += 7) {
    const Transfer transfer = Draw(i);
    Take(transfer);
    instar::SleepFor(microseconds(100));  // until the other branch agrees
    Put(transfer);
    rest_of_movers = rest.count();
    instar::UpdatePoint("between transfers");
    instar::Blocking("between transfers",
                     [rest] { std::this_thread::sleep_for(rest); });
  }
}

// Active: updates come wherever it calls something.
void AuditorMain(long audits) {
  instar::ExposedValue expose_audits("audits", audits);
  while (!is_over) {
    CountAudit(IsAllThere());
    ++audits;
    std::this_thread::sleep_for(microseconds(100));
  }
  EndAudits(audits);
}

void CountAudit(bool is_all_there) {
  ++audits_made;
  if (!is_all_there) ++faults;
}

void EndAudits(long audits) { was_forgotten = audits != audits_made; }

bool WasAllWell() { return faults == 0 && !was_forgotten; }

// Passive.
void ClerkMain() {
  while (true) {
    {
      std::unique_lock<std::mutex> lock(orders);
      instar::Wait(orders_changed, lock, [] { return ordered || is_over; });
      if (!ordered) return;
      pause_at = *ordered;
      ordered.reset();
    }
    PayInterest();
    instar::UpdatePoint();
  }
}

void PayInterest() {
  int next = 0;
  long paid = 0;
  instar::ExposedValue expose_next("next", next);
  instar::ExposedValue expose_paid("paid", paid);
  for (; next < kCustomers; ++next) {
    PauseAt(next);
    paid += Pay(*customers[next]);
  }
  Note(paid);
}

void PauseAt(int customer) {
  if (customer != pause_at) return;
  // It is left and called anew when what called it is replaced.
  if (!std::exchange(is_paused, true)) {
    Say(absl::StrCat(customer, " customers have their interest"));
  }
  while (!may_go_on) {
    instar::UpdatePoint();
    std::this_thread::sleep_for(microseconds(50));
  }
  may_go_on = is_paused = false;
  pause_at = -1;
}

void OrderInterest(int pause) {
  const std::lock_guard<std::mutex> lock(orders);
  ordered = pause;
  orders_changed.notify_all();
}
void LetClerkGoOn() { may_go_on = true; }
void WakeClerk() {
  const std::lock_guard<std::mutex> lock(orders);
  orders_changed.notify_all();
}

}  // namespace bank
