// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/servers/tcp_server.h"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/asio/strand.hpp"
#include "manager/manager.h"
#include "threads/asio_executor.h"
#include "threads/controlled_thread.h"

namespace servers {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Executor = instar::AsioExecutor<asio::io_context::executor_type>;

class Listener {
 public:
  Listener(Executor executor, std::function<void(tcp::socket)> serve)
      : executor_(executor),
        acceptor_(executor),
        pause_(executor),
        serve_(std::move(serve)) {}

  boost::system::error_code Open(int port) {
    const tcp::endpoint endpoint(asio::ip::address_v4::loopback(),
                                 static_cast<std::uint16_t>(port));
    boost::system::error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(tcp::acceptor::max_listen_connections, error);
    return error;
  }
  int port() const { return acceptor_.local_endpoint().port(); }

  void Accept() {
    acceptor_.async_accept(
        asio::make_strand(executor_),
        [this](boost::system::error_code error, tcp::socket socket) {
          if (error) return AcceptLater();
          boost::system::error_code ignored;
          socket.set_option(tcp::no_delay(true), ignored);
          serve_(std::move(socket));
          Accept();
        });
  }

 private:
  // The client has gone, or there is no descriptor left.
  void AcceptLater() {
    pause_.expires_after(std::chrono::milliseconds(10));
    pause_.async_wait([this](boost::system::error_code error) {
      if (!error) Accept();
    });
  }

  Executor executor_;
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  std::function<void(tcp::socket)> serve_;
};

// Signals that end the server; blocked in all threads that begin later.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

}  // namespace

absl::Status RunTcpServer(const TcpServerOptions& options,
                          std::function<void(tcp::socket)> serve) {
  const sigset_t signals = BlockSignals();
  asio::io_context io(options.threads);
  Listener listener(Executor(io.get_executor()), std::move(serve));
  if (const boost::system::error_code error = listener.Open(options.port)) {
    return absl::UnavailableError(absl::StrCat(
        "cannot listen at port ", options.port, " of 127.0.0.1: ",
        error.message(), "; choose another one with --port, or 0 for any"));
  }
  absl::StatusOr<instar::Manager> manager = instar::Manager::Start();
  if (!manager.ok()) return manager.status();
  listener.Accept();
  {
    std::vector<instar::ControlledThread> threads;
    for (int i = 1; i <= options.threads; ++i) {
      threads.push_back(instar::StartPassiveThread(
          absl::StrCat("worker ", i),
          [&io] { instar::RunAsio(io, "between requests"); }));
    }
    std::printf("%s: process %d, at port %d of 127.0.0.1\n",
                options.name.c_str(), getpid(), listener.port());
    std::fflush(stdout);
    int signal = 0;
    sigwait(&signals, &signal);
    io.stop();
  }  // they have ended here
  std::printf("%s: ends\n", options.name.c_str());
  return absl::OkStatus();
}

int TcpServerMain(int argc, char** argv, CLI::App& flags,
                  TcpServerOptions options,
                  std::function<void(boost::asio::ip::tcp::socket)> serve) {
  flags.add_option("--port", options.port, "of 127.0.0.1; 0: any")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  flags.add_option("--threads", options.threads)
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  CLI11_PARSE(flags, argc, argv);
  const absl::Status status = RunTcpServer(options, std::move(serve));
  if (status.ok()) return 0;
  std::cerr << options.name << ": " << status.message() << "\n";
  return 1;
}

}  // namespace servers
