// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
//   tools/bazelw run //examples/combination:demo

#include <atomic>
#include <string>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/scenario/scenario.h"

namespace {

using examples::Scenario;

constexpr char kOld[] = "the total is 10000.00";
constexpr char kNew[] = "the total is 10000.000";

void Ask(Scenario& scenario, const std::string& request,
         const std::string& expected) {
  scenario.Tell(request);
  const std::string line = scenario.Hear();
  scenario.Check(line == expected, "expected: " + expected);
}

// A client that wants to know, as long as it lives, whether all money is there.
class Watch {
 public:
  explicit Watch(Scenario& scenario)
      : scenario_(scenario), thread_([this] {
          do {
            const std::string answer = scenario_.Ask("total");
            ++asked_;
            if (answer != kOld && answer != kNew) wrong_ = answer;
          } while (!is_over_);
        }) {}
  ~Watch() {
    is_over_ = true;
    thread_.join();
    scenario_.Check(wrong_.empty(), "meanwhile: " + wrong_);
    scenario_.Figure(absl::StrCat("(a client asked for the total ", asked_,
                                  " times meanwhile)"));
  }

 private:
  Scenario& scenario_;
  std::atomic<bool> is_over_{false};
  int asked_ = 0;
  std::string wrong_;
  std::thread thread_;
};

void Load(Scenario& scenario, const std::string& update) {
  const Watch watch(scenario);
  scenario.Load(update);
}
void Undo(Scenario& scenario) {
  const Watch watch(scenario);
  scenario.Undo();
}

// Until the update waits for that.
void AwaitWaiting(Scenario& scenario, const std::string& reason) {
  while (true) {
    const auto status = scenario.control().Status();
    if (!status.ok()) return scenario.Check(false, status.status().ToString());
    for (const auto& pending : status->pending) {
      bool waits = absl::StrContains(pending.waits_for, reason);
      for (const instar::Blocker& blocker : pending.progress.blockers) {
        waits |= absl::StrContains(blocker.reason, reason);
      }
      if (waits) return scenario.Say("# it waits: " + reason);
    }
  }
}

void CountCustomers(Scenario& scenario, int expected) {
  const auto status = scenario.control().Status();
  std::size_t converted = 0;
  if (status.ok()) {
    for (const auto& counts : status->classes) {
      converted += counts.OfVersion("bank::CustomerV2");
    }
  }
  scenario.Say(absl::StrCat("# ", converted, " customers are converted"));
  scenario.Check(converted == static_cast<std::size_t>(expected),
                 absl::StrCat("expected ", expected));
}

void LookAtOld(Scenario& scenario) {
  Ask(scenario, "total", kOld);
  Ask(scenario, "journal", "the journal is right");
  Ask(scenario, "movers", "they rest for 1000 us");
}
void LookAtNew(Scenario& scenario) {
  Ask(scenario, "total", kNew);
  Ask(scenario, "journal  # with what is new",
      "the journal is right, with the fees");
  Ask(scenario, "movers", "they rest for 200 us");
}

}  // namespace

int main(int argc, char** argv) {
  Scenario scenario(argc, argv, "examples/combination");
  scenario.Chapter("A bank that counts in cents");
  LookAtOld(scenario);
  Ask(scenario, "interest", "interest so far: 3.00");

  scenario.Chapter("It learns to count in tenths, in the middle of its work");
  Ask(scenario, "interest pausing at 50", "50 customers have their interest");
  Ask(scenario, "close the books", "the books are closed");
  scenario.Begin("tenths");
  AwaitWaiting(scenario, "the books are closed");
  Ask(scenario, "total", kOld);
  Ask(scenario, "open the books", "the books are open");
  {
    const Watch watch(scenario);
    scenario.End("tenths");
  }
  LookAtNew(scenario);
  CountCustomers(scenario, 0);
  Ask(scenario, "go on", "interest so far: 3.000, 2.750");
  CountCustomers(scenario, 50);

  scenario.Chapter("And forgets it again, in the middle of its work");
  Ask(scenario, "interest pausing at 30", "30 customers have their interest");
  Undo(scenario);
  LookAtOld(scenario);
  Ask(scenario, "go on", "interest so far: 3.00, 2.75, 2.85");

  scenario.Chapter("Once more");
  Load(scenario, "tenths");
  LookAtNew(scenario);
  Ask(scenario, "interest", "interest so far: 3.000, 2.750, 2.850, 2.500");
  Undo(scenario);
  LookAtOld(scenario);

  scenario.Chapter("The same by each thread for itself");
  Ask(scenario, "interest pausing at 50", "50 customers have their interest");
  Load(scenario, "tenths_by_thread");
  LookAtNew(scenario);
  CountCustomers(scenario, 0);
  Ask(scenario, "go on", "interest so far: 3.000, 2.750, 2.850, 2.500, 2.750");
  CountCustomers(scenario, 50);
  Ask(scenario, "interest pausing at 30", "30 customers have their interest");
  Undo(scenario);
  LookAtOld(scenario);
  Ask(scenario, "go on", "interest so far: 3.00, 2.75, 2.85, 2.50, 2.75, 2.85");
  Load(scenario, "tenths_by_thread");
  LookAtNew(scenario);
  Undo(scenario);
  LookAtOld(scenario);

  scenario.Chapter("Meanwhile");
  Ask(scenario, "audits", "0 audits found that money was missing");
  return scenario.End();
}
