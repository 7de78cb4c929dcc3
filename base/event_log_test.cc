// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/event_log.h"

#include <map>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(EventLogTest, KeepsTheOrder) {
  EventLog log;
  log.Add("one");
  log.Add("two");
  EXPECT_THAT(log.Events(), ElementsAre("one", "two"));
  EXPECT_THAT(log.Take(), ElementsAre("one", "two"));
  EXPECT_THAT(log.Events(), IsEmpty());
}

TEST(EventLogTest, NothingIsLostAndEachThreadKeepsItsOrder) {
  constexpr int kThreads = 4;
  constexpr int kEvents = 1000;
  EventLog log;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&log, t] {
      for (int i = 0; i < kEvents; ++i) {
        log.Add(std::to_string(t) + " " + std::to_string(i));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  std::map<int, int> next_of_thread;
  for (const std::string& event : log.Events()) {
    const int thread = std::stoi(event);
    const int number = std::stoi(event.substr(event.find(' ')));
    EXPECT_EQ(number, next_of_thread[thread]++);
  }
  for (int t = 0; t < kThreads; ++t) EXPECT_EQ(next_of_thread[t], kEvents);
}

}  // namespace
}  // namespace instar
