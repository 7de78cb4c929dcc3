// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A real pool: 16 threads run one io_context, clients talk to it, and threads
// are held again and again.

#include "threads/asio_executor.h"

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "boost/asio/buffer.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/read.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/asio/strand.hpp"
#include "boost/asio/write.hpp"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"

namespace instar {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr int kWorkers = 16;

class Pool {
 public:
  Pool() : work_(asio::make_work_guard(io_)) {
    for (int i = 0; i < kWorkers; ++i) {
      threads_.emplace_back([this] {
        ControlledThisThread worker("worker");
        RunAsio(io_, "between requests");
      });
    }
    while (ControlledThreads("worker").size() < kWorkers) {
      std::this_thread::yield();
    }
  }
  ~Pool() { Stop(); }
  // What handlers use may go afterwards, before the pool does.
  void Stop() {
    work_.reset();
    io_.stop();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  auto executor() { return AsioExecutor(io_.get_executor()); }

 private:
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::vector<std::thread> threads_;
};

// Answers each byte by the version of the server at its arrival, twice: the two
// differ if an update came in between.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, const std::atomic<char>& version)
      : socket_(std::move(socket)), version_(version) {}

  void Read() {
    socket_.async_read_some(
        asio::buffer(request_),
        [self = shared_from_this()](boost::system::error_code error,
                                    std::size_t size) {
          if (error || size == 0) return;
          self->answer_[0] = self->version_;
          std::this_thread::yield();
          self->answer_[1] = self->version_;
          self->Answer();
        });
  }

 private:
  void Answer() {
    asio::async_write(socket_, asio::buffer(answer_),
                      [self = shared_from_this()](
                          boost::system::error_code error, std::size_t) {
                        if (!error) self->Read();
                      });
  }

  tcp::socket socket_;
  const std::atomic<char>& version_;
  std::array<char, 1> request_ = {};
  std::array<char, 2> answer_ = {};
};

class Server {
 public:
  template <typename Executor>
  Server(const Executor& executor, const std::atomic<char>& version)
      : acceptor_(executor, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
        version_(version) {
    Accept();
  }
  tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }

 private:
  void Accept() {
    acceptor_.async_accept(
        [this](boost::system::error_code error, tcp::socket socket) {
          if (error) return;
          std::make_shared<Session>(std::move(socket), version_)->Read();
          Accept();
        });
  }

  tcp::acceptor acceptor_;
  const std::atomic<char>& version_;
};

RendezvousOptions BetweenRequests() {
  RendezvousOptions options;
  options.limit = std::chrono::seconds(60);
  options.point = "between requests";
  return options;
}

TEST(AsioExecutorTest, NoRequestIsInTwoVersions) {
  std::atomic<char> version{0};
  std::atomic<bool> stop{false};
  std::atomic<long> answers{0}, mixed{0};
  Pool pool;
  Server server(pool.executor(), version);
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] {
      asio::io_context io;
      tcp::socket socket(io);
      socket.connect(server.endpoint());
      while (!stop) {
        std::array<char, 2> answer;
        asio::write(socket, asio::buffer("?", 1));
        asio::read(socket, asio::buffer(answer));
        mixed += answer[0] != answer[1];
        ++answers;
      }
    });
  }
  for (int updates = 0; updates < 500 || answers < 1000; ++updates) {
    auto rendezvous = Rendezvous::HoldAll(BetweenRequests());
    EXPECT_TRUE(rendezvous.ok()) << rendezvous.status();
    ++version;
  }
  stop = true;
  for (std::thread& client : clients) client.join();
  pool.Stop();
  EXPECT_EQ(mixed, 0);
}

TEST(AsioExecutorTest, NoIdleThreadIsInterrupted) {
  Pool pool;
  for (const ThreadRef& worker : ControlledThreads("worker")) {
    while (worker.state() != ThreadState::kBlocked) std::this_thread::yield();
  }
  for (int i = 0; i < 100; ++i) {
    RendezvousOptions options;
    options.grace = std::chrono::nanoseconds(0);
    auto rendezvous = Rendezvous::HoldAll(options);
    ASSERT_TRUE(rendezvous.ok()) << rendezvous.status();
    ASSERT_EQ(rendezvous->threads().size(), static_cast<size_t>(kWorkers));
    for (const HeldThread& thread : rendezvous->threads()) {
      EXPECT_FALSE(thread.is_interrupted);
    }
  }
}

TEST(AsioExecutorTest, StrandsTimersAndPostedWorkAreBusy) {
  Pool pool;
  std::atomic<int> busy{0};
  const auto count = [&] {
    busy += ThisControlledThread()->state() == ThreadState::kRunning;
  };
  asio::post(pool.executor(), count);
  asio::post(asio::make_strand(pool.executor()), count);
  asio::steady_timer timer(pool.executor(), std::chrono::milliseconds(1));
  timer.async_wait([&](boost::system::error_code) { count(); });
  while (busy < 3) std::this_thread::yield();
}

}  // namespace
}  // namespace instar
