// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Ways to wait in a system call, and what each does when its thread is stopped
// by a signal (docs/interrupted_calls.md).

#ifndef INSTAR_STACK_TESTING_INTERRUPTED_CALLS_H_
#define INSTAR_STACK_TESTING_INTERRUPTED_CALLS_H_

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace instar {

// Longer than a test may take.
inline constexpr int kTooManySeconds = 600;
inline constexpr timespec kTooLong = {kTooManySeconds, 0};

enum class What { kGoesOn, kReturnsEintr };

// One way to wait.
struct Call {
  std::string name;  // as it stands in the document
  What what;
  // Waits in the call; what it returned, with errno.
  std::function<long()> call;
  // Lets a call that goes on return what is no error.
  std::function<void()> end;
};

class Calls {
 public:
  void GoesOn(const char* name, std::function<long()> call,
              std::function<void()> end) {
    all_.push_back({name, What::kGoesOn, std::move(call), std::move(end)});
  }
  void ReturnsEintr(const char* name, std::function<long()> call) {
    all_.push_back({name, What::kReturnsEintr, std::move(call), [] {}});
  }
  std::vector<Call> Take() { return std::move(all_); }

 private:
  std::vector<Call> all_;
};

// A pipe; both ends stay open.
struct Pipe {
  Pipe() { EXPECT_EQ(pipe(ends), 0); }
  void Fill() const {
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    const std::vector<char> page(4096);
    while (write(ends[1], page.data(), page.size()) > 0) continue;
    fcntl(ends[1], F_SETFL, 0);
  }
  std::function<void()> WriteOne() const {
    return [to = ends[1]] { EXPECT_EQ(write(to, "x", 1), 1); };
  }
  std::function<void()> Drain() const {
    return [from = ends[0]] {
      std::vector<char> all(1 << 20);
      EXPECT_GT(read(from, all.data(), all.size()), 0);
    };
  }
  int ends[2];
};

// Each may be added once: what they wait on stays.
void AddFiles(Calls& calls);
void AddSockets(Calls& calls);
void AddLocks(Calls& calls);
void AddProcesses(Calls& calls);
void AddWaitsForMany(Calls& calls);
void AddSleeps(Calls& calls);
void AddSignals(Calls& calls);
void AddSystemV(Calls& calls);

}  // namespace instar

#endif  // INSTAR_STACK_TESTING_INTERRUPTED_CALLS_H_
