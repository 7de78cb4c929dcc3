// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Ways to wait in libc, and in libstdc++, one by one: a thread that waits so is
// held. (Those of threads and locks are in interrupted_rendezvous_test.cc.)

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"
#include "threads/rendezvous_test/ways_to_wait.h"

namespace instar {
namespace {

constexpr std::chrono::seconds kLong(10);

Ways AllWays() {
  Ways ways;
  AddFiles(ways);
  AddSockets(ways);
  AddSignalsAndTime(ways);
  AddProcesses(ways);
  AddQueues(ways);
  AddLocks(ways);
  return ways;
}

TEST(InterruptedRendezvousWaitsTest, EachIsHeld) {
  // Some wait for it.
  sigset_t used;
  sigemptyset(&used);
  sigaddset(&used, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &used, nullptr);
  // Those that nothing ends but a signal.
  struct sigaction to_nothing = {};
  to_nothing.sa_handler = [](int) {};  // without SA_RESTART
  sigaction(SIGUSR1, &to_nothing, nullptr);
  Ways ways = AllWays();
  EXPECT_GE(ways.all().size(), 40u);
  for (Way& way : ways.all()) {
    std::atomic<bool> begun{false}, stop{false}, ended{false};
    std::atomic<pthread_t> self{};
    ControlledThread thread = StartPassiveThread("waits", [&] {
      self = pthread_self();
      begun = true;
      while (!stop) way.wait();
      ended = true;
    });
    while (!begun) std::this_thread::yield();
    {
      RendezvousOptions options;
      options.limit = kLong;
      const auto rendezvous = Rendezvous::HoldAll(std::move(options));
      EXPECT_TRUE(rendezvous.ok()) << way.name << ": " << rendezvous.status();
    }
    stop = true;
    while (!ended) {
      way.end();
      if (!ended) pthread_kill(self.load(), SIGUSR1);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

}  // namespace
}  // namespace instar
