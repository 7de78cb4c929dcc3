// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The program: keeps values by their keys, for clients of memcached, until
// Ctrl-C or SIGTERM, and takes updates meanwhile.
//
//   tools/bazelw run //examples/ginseng:cache_server

#include <utility>

#include "CLI/CLI.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "examples/ginseng/session.h"
#include "examples/servers/tcp_server.h"

int main(int argc, char** argv) {
  servers::TcpServerOptions options;
  options.name = "cache_server";
  options.port = 11211;
  CLI::App flags("Keeps values by their keys, for clients of memcached.");
  return servers::TcpServerMain(argc, argv, flags, std::move(options),
                                [](boost::asio::ip::tcp::socket socket) {
                                  ginseng::ServeRequests(std::move(socket));
                                });
}
