// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "examples/pools/pools.h"
#include "threads/blocking_region.h"
#include "threads/update_point.h"

namespace pools {

Tasks tasks;

// [workers]
void Work() {  // a thread of the pool
  while (const std::function<void()> task = tasks.Take()) {
    task();
    instar::UpdatePoint();
  }
}
// [workers]

std::future<std::string> AskWorker(std::string request) {
  auto promise = std::make_shared<std::promise<std::string>>();
  std::future<std::string> answer = promise->get_future();
  tasks.Push([promise, request = std::move(request)] {
    promise->set_value(Answer(request));
  });
  return answer;
}

// [future]
std::string Await(std::future<std::string> answer) {
  instar::AwaitReady(answer);
  return answer.get();
}
// [future]

void OpenTasks() { tasks.SetOver(false); }
void CloseTasks() { tasks.SetOver(true); }

}  // namespace pools
