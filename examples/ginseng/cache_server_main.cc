// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The program: keeps values by their keys, for clients of memcached, until
// Ctrl-C or SIGTERM, and takes updates meanwhile.
//
//   tools/bazelw run //examples/ginseng:cache_server

#include <iostream>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "boost/asio/ip/tcp.hpp"
#include "examples/ginseng/session.h"
#include "examples/servers/tcp_server.h"

int main(int argc, char** argv) {
  servers::TcpServerOptions options;
  options.name = "cache_server";
  options.port = 11211;
  CLI::App flags("Keeps values by their keys, for clients of memcached.");
  flags.add_option("--port", options.port, "of 127.0.0.1; 0: any")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  flags.add_option("--threads", options.threads)
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  CLI11_PARSE(flags, argc, argv);
  const absl::Status status =
      servers::RunTcpServer(options, [](boost::asio::ip::tcp::socket socket) {
        ginseng::ServeRequests(std::move(socket));
      });
  if (!status.ok()) {
    std::cerr << "cache_server: " << status.message() << "\n";
    return 1;
  }
}
