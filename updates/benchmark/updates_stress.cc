// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Threads work while functions are redefined and undone, threads rebooted and
// activations replaced, at random: by this program and in the threads, with and
// without forced quiescence. Every result is checked, and the order of events.
//
//   bazel run -c opt //updates/benchmark:updates_stress -- 5        (minutes)
//
// Ends with a count of what was done; exits with 1 at the first wrong result or
// unexpected refusal.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/event_log.h"
#include "code/redefinable.h"
#include "stack/exposed_values.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "threads/update_request.h"
#include "updates/change.h"
#include "updates/mechanisms/redefine.h"
#include "updates/mechanisms/replace_activation.h"
#include "updates/reboot_thread.h"
#include "updates/testing/functions_for_test.h"

namespace instar {
namespace {

using namespace updates_test;  // NOLINT: the functions under stress

std::atomic<bool> stop{false};
std::atomic<long> live_objects{0};
std::atomic<long> calls{0};
std::atomic<long> replaced{0};
Redefinable<int(int)> price_slot(&Price3);

[[noreturn]] void Wrong(const std::string& what) {
  std::fprintf(stderr, "updates_stress: %s\n", what.c_str());
  std::_Exit(1);
}

struct Counted {
  Counted() { ++live_objects; }
  ~Counted() { --live_objects; }
};

int Rest(int so_far) { return so_far; }
int Twice(int a) { return 2 * a; }

__attribute__((noinline)) int CountTo(int n, bool replace) {
  const Counted counted;
  int so_far = n;
  ExposedValue expose_so_far("so_far", so_far);
  if (replace) {
    const absl::Status refused = ReplaceActivation(
        &CountTo, &Rest,
        [](StackBounds frame) { return ReadExposed<int>("so_far", frame); });
    Wrong("an activation was not replaced: " + refused.ToString());
  }
  asm volatile("" : "+r"(so_far));
  return so_far;
}

void Work() {
  const Counted counted;
  std::minstd_rand random(static_cast<unsigned>(std::random_device()()));
  while (!stop) {
    const int price = Price(7);
    if (price != 107 && price != 207) Wrong("a wrong price");
    if (Relay(5, [] { UpdatePoint(); }) != 0) Wrong("a broken protocol");
    const int by_slot = price_slot(7);
    if (by_slot != 307 && by_slot != 14) Wrong("a wrong price of the slot");
    const int dwelt = Dwell(1);
    if (dwelt != 2 && dwelt != 3) Wrong("a wrong result of a long function");
    const int depth = Depth(9, [] {});
    if (depth != 9 && depth != -9) Wrong("a wrong depth");
    const bool replace = random() % 16 == 0;
    if (CountTo(42, replace) != 42) Wrong("a wrong count");
    if (replace) ++replaced;
    ++calls;
    UpdatePoint();
  }
}

// Each update was applied and undone by turns, and is as its last event says.
void CheckLog(const std::vector<std::string>& events,
              const std::vector<Change>& updates) {
  std::vector<bool> applied(updates.size(), false);
  for (const std::string& event : events) {
    const std::size_t space = event.find(' ');
    const std::size_t number = std::stoul(event.substr(space));
    const bool applies = event.substr(0, space) == "apply";
    if (applied[number] == applies) Wrong("'" + event + "' came twice");
    applied[number] = applies;
  }
  for (std::size_t i = 0; i < updates.size(); ++i) {
    if (updates[i].is_applied() != applied[i]) Wrong("the log is not complete");
  }
}

// ThreadSanitizer has a thread that blocks all signals and that cannot be
// traced, and delivers signals late.
#if defined(__SANITIZE_THREAD__)
constexpr bool kCanStopAll = false;
#else
constexpr bool kCanStopAll = true;
#endif

int Main(int minutes) {
  std::vector<ControlledThread> threads;
  for (int i = 0; i < 4; ++i) {
    std::string name = "worker " + std::to_string(i);
    threads.push_back(i % 2 == 0 ? StartActiveThread(name, &Work)
                                 : StartPassiveThread(name, &Work));
  }
  std::vector<Change> updates;
  for (const Stacks stacks :
       {kCanStopAll ? Stacks::kAllThreads : Stacks::kControlledThreads,
        Stacks::kControlledThreads}) {
    updates.push_back(Change(Redefine(Price, &Price2), stacks));
    updates.push_back(Change(Redefine(&Depth, &Depth2), stacks));
    updates.push_back(Change(Redefine(Redefinitions()
                                          .Add(Relay, &Relay2)
                                          .Add(Send, &Send2)
                                          .Add(Receive, &Receive2)),
                             stacks));
    updates.push_back(Change(Redefine(price_slot, &Twice), stacks));
    // Never quiescent for long.
    ChangeOptions forced(stacks);
    forced.forced_quiescence = std::chrono::milliseconds(200);
    updates.push_back(Change(Redefine(&Dwell, &Dwell2), forced));
  }
  EventLog log;
  std::minstd_rand random(1);
  long done = 0, not_yet = 0, reboots = 0;
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::minutes(minutes);
  while (std::chrono::steady_clock::now() < end) {
    if (random() % 8 == 0) {
      UpdateRequest request =
          SetUpdateFunction(threads[random() % threads.size()],
                            RebootThread(&Work), RebootUpdateOptions());
      request.Trigger();
      const absl::Status status = request.Await(std::chrono::minutes(1));
      if (!status.ok()) Wrong("no reboot: " + status.ToString());
      ++reboots;
      continue;
    }
    const std::size_t number = random() % updates.size();
    Change& update = updates[number];
    const bool was_applied = update.is_applied();
    const std::string name =
        (was_applied ? "undo " : "apply ") + std::to_string(number);
    Attempt attempt = Attempt::Done();
    if (random() % 4 == 0) {
      // In one of the threads, at its update point.
      UpdateRequest request = SetUpdateFunction(
          threads[random() % threads.size()],
          was_applied ? update.UndoFunction() : UpdateFunction(update));
      request.Trigger();
      const absl::Status status = request.Await(std::chrono::minutes(1));
      if (!status.ok()) Wrong(name + " in a thread: " + status.ToString());
    } else {
      attempt = was_applied ? update.Undo() : update.Apply();
    }
    if (attempt.is_failed()) Wrong(name + ": " + attempt.reason());
    if (update.is_applied() != (was_applied != attempt.is_done())) {
      Wrong(name + " has another outcome than it said");
    }
    if (attempt.is_done()) log.Add(name);
    ++(attempt.is_done() ? done : not_yet);
  }
  stop = true;
  for (ControlledThread& thread : threads) thread.Join();
  if (live_objects != 0) Wrong("a destructor did not run");
  CheckLog(log.Events(), updates);
  std::printf(
      "%ld rounds of work, %ld redefinitions and undos, %ld put off, "
      "%ld reboots, %ld activations replaced: all right\n",
      calls.load(), done, not_yet, reboots, replaced.load());
  return 0;
}

}  // namespace
}  // namespace instar

int main(int argc, char** argv) {
  return instar::Main(argc > 1 ? std::atoi(argv[1]) : 1);
}
