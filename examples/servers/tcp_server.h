// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The main function of a server that can be updated: a pool of threads runs the
// handlers of its connections, and updates come from instarctl.
//
//   int main(int argc, char** argv) {
//     servers::TcpServerOptions options;
//     options.name = "file_server";
//     CLI::App flags("Serves the files of a folder.");
//     return servers::TcpServerMain(
//         argc, argv, flags, options,
//         [](tcp::socket socket) { ServeHttp(std::move(socket)); });
//   }
//
// The threads are passive: they are updated between two handlers, at the point
// "between requests", and count as stopped while they wait for one
// (threads/asio_executor.h). So a handler that answers a request as a whole
// does it in one version.
//
// Each connection has a strand: its handlers run one after the other, and need
// no lock for what is the connection's own.

#ifndef INSTAR_EXAMPLES_SERVERS_TCP_SERVER_H_
#define INSTAR_EXAMPLES_SERVERS_TCP_SERVER_H_

#include <functional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "boost/asio/ip/tcp.hpp"

namespace servers {

struct TcpServerOptions {
  std::string name;
  int port = 0;  // of 127.0.0.1; 0: one that the system chooses
  int threads = 4;
};

// Calls `serve` for each connection, in a handler. Returns after Ctrl-C or
// SIGTERM, when all threads have ended. Once it listens it says so: "NAME:
// process P, at port N of 127.0.0.1". The error names the port.
absl::Status RunTcpServer(
    const TcpServerOptions& options,
    std::function<void(boost::asio::ip::tcp::socket)> serve);

// The same with flags --port and --threads, beside those that `flags` has; what
// main() returns. An error is said on standard error.
int TcpServerMain(int argc, char** argv, CLI::App& flags,
                  TcpServerOptions options,
                  std::function<void(boost::asio::ip::tcp::socket)> serve);

}  // namespace servers

#endif  // INSTAR_EXAMPLES_SERVERS_TCP_SERVER_H_
