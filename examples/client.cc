// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Sends a command to the site manager and prints the answer; without a command,
// those on standard input.
//
//   $ tools/bazelw run //examples:client -- 5678 order 2 chair Brest
//   ordered 2 chair, 98 left

#include <cstdlib>
#include <iostream>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "examples/command_client.h"

namespace {

using site_manager::CommandClient;

bool Ask(CommandClient& client, const std::string& command) {
  const absl::StatusOr<std::string> answer = client.Ask(command);
  if (!answer.ok()) {
    std::cerr << "client: " << answer.status().message() << "\n";
    return false;
  }
  std::cout << *answer << std::endl;
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  int port = 0;
  if (argc < 2 || !absl::SimpleAtoi(argv[1], &port) || port < 1 ||
      port > 65535) {
    std::cerr << "usage: client PORT [COMMAND...]\n"
                 "The program says its port when it starts.\n";
    return 2;
  }
  absl::StatusOr<CommandClient> client = CommandClient::Connect(port);
  if (!client.ok()) {
    std::cerr << "client: " << client.status().message()
              << "; does the program run? It says its port when it starts.\n";
    return 1;
  }
  if (argc > 2) {
    const absl::Span<char*> words(argv + 2, static_cast<std::size_t>(argc - 2));
    return Ask(*client, absl::StrJoin(words, " ")) ? 0 : 1;
  }
  for (std::string line; std::getline(std::cin, line);) {
    if (!Ask(*client, line)) return 1;
  }
}
