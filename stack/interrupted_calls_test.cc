// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a system call does in which a thread is stopped by a signal: goes on, or
// returns EINTR. docs/interrupted_calls.md lists them, and is compared.

#include "stack/testing/interrupted_calls.h"

#include <errno.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/interrupted_thread.h"

namespace instar {
namespace {

constexpr std::chrono::seconds kPatience(60);

// Whether the thread waits in a system call.
bool Waits(pid_t tid) {
  const std::string task = "/proc/self/task/" + std::to_string(tid);
  std::ifstream stat(task + "/stat");
  std::string line;
  std::getline(stat, line);
  const std::size_t name_end = line.rfind(") ");
  return name_end != std::string::npos && line[name_end + 2] == 'S';
}

struct Outcome {
  long result = 0;
  int error = 0;
};

// Of the call, in a thread that is stopped while it is in it.
Outcome Interrupt(const Call& call) {
  std::atomic<pid_t> tid{0};
  std::atomic<bool> has_returned{false};
  Outcome outcome;
  std::thread thread([&] {
    tid = gettid();
    outcome.result = call.call();
    outcome.error = errno;
    has_returned = true;
  });
  // Nothing but the call makes it sleep.
  while (tid == 0 || !Waits(tid)) {
    if (has_returned) {
      ADD_FAILURE() << "it does not wait: " << outcome.result << ", "
                    << std::strerror(outcome.error);
      call.end();
      thread.join();
      return outcome;
    }
    std::this_thread::yield();
  }
  absl::StatusOr<InterruptedThread> held =
      InterruptedThread::Hold(tid, kPatience);
  EXPECT_TRUE(held.ok()) << held.status();
  if (held.ok()) held->Release();
  // What the call returns was decided when the thread took the signal: a call
  // that has been interrupted does not wait for this.
  call.end();
  thread.join();
  return outcome;
}

const std::vector<Call>& AllCalls() {
  static const auto& all = *new std::vector<Call>([] {
    Calls calls;
    AddFiles(calls);
    AddSockets(calls);
    AddLocks(calls);
    AddProcesses(calls);
    AddWaitsForMany(calls);
    AddSleeps(calls);
    AddSignals(calls);
    AddSystemV(calls);
    return calls.Take();
  }());
  return all;
}

std::string Word(What what) {
  return what == What::kGoesOn ? "goes on" : "`EINTR`";
}

TEST(InterruptedCallsTest, EachDoesWhatTheDocumentSays) {
  for (const Call& call : AllCalls()) {
    SCOPED_TRACE(call.name);
    const Outcome outcome = Interrupt(call);
    if (call.what == What::kGoesOn) {
      EXPECT_GE(outcome.result, 0) << std::strerror(outcome.error);
    } else {
      EXPECT_EQ(outcome.result, -1);
      EXPECT_EQ(outcome.error, EINTR) << std::strerror(outcome.error);
    }
  }
}

// The rows of its tables: "| `poll` | `EINTR` |".
TEST(InterruptedCallsTest, TheDocumentListsThem) {
  std::ifstream document("docs/interrupted_calls.md");
  ASSERT_TRUE(document) << "it is run in the folder of its runfiles";
  std::vector<std::string> said, tested;
  for (std::string line; std::getline(document, line);) {
    if (line.rfind("| `", 0) == 0) said.push_back(line);
  }
  for (const Call& call : AllCalls()) {
    tested.push_back("| `" + call.name + "` | " + Word(call.what) + " |");
  }
  EXPECT_THAT(said, testing::UnorderedElementsAreArray(tested));
}

}  // namespace
}  // namespace instar
