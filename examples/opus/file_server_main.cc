// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The program: serves the files of a folder over HTTP/1.1 until Ctrl-C or
// SIGTERM, and takes updates meanwhile.
//
//   tools/bazelw run //examples/opus:file_server -- --root=$PWD/docs

#include <utility>

#include "CLI/CLI.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "examples/opus/files.h"
#include "examples/opus/http.h"
#include "examples/servers/tcp_server.h"

int main(int argc, char** argv) {
  servers::TcpServerOptions options;
  options.name = "file_server";
  options.port = 8080;
  CLI::App flags("Serves the files of a folder over HTTP/1.1.");
  flags.add_option("--root", file_server::root, "the folder")
      ->required()
      ->check(CLI::ExistingDirectory);
  return servers::TcpServerMain(argc, argv, flags, std::move(options),
                                [](boost::asio::ip::tcp::socket socket) {
                                  file_server::ServeHttp(std::move(socket));
                                });
}
