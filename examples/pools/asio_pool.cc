// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "boost/asio/executor_work_guard.hpp"
#include "boost/asio/post.hpp"
#include "examples/pools/pools.h"
#include "threads/asio_executor.h"

namespace pools {

namespace asio = boost::asio;

std::string Answer(const std::string& request) { return "old " + request; }

// [asio]
asio::io_context io;

void RunHandlers() {                        // a thread of the pool
  instar::RunAsio(io, "between requests");  // in place of io.run()
}

std::future<std::string> AskAsio(std::string request) {
  const instar::AsioExecutor executor(io.get_executor());
  auto promise = std::make_shared<std::promise<std::string>>();
  std::future<std::string> answer = promise->get_future();
  asio::post(executor, [promise, request = std::move(request)] {
    promise->set_value(Answer(request));
  });
  return answer;
}
// [asio]

namespace {

using WorkGuard = asio::executor_work_guard<asio::io_context::executor_type>;
std::optional<WorkGuard> work;

}  // namespace

void OpenAsio() {
  io.restart();
  work.emplace(io.get_executor());
}

void CloseAsio() {
  work.reset();
  io.stop();
}

}  // namespace pools
