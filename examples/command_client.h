// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A connection to the site manager: sends commands, receives answers.
//
//   INSTAR_ASSIGN_OR_RETURN(CommandClient client,
//                           CommandClient::Connect(5678));
//   absl::StatusOr<std::string> answer = client.Ask("order 2 chair Brest");
//
// Threads: a connection is used by one thread at a time.

#ifndef INSTAR_EXAMPLES_COMMAND_CLIENT_H_
#define INSTAR_EXAMPLES_COMMAND_CLIENT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace site_manager {

class CommandClient {
 public:
  // To that port of 127.0.0.1.
  static absl::StatusOr<CommandClient> Connect(int port);
  CommandClient(CommandClient&& other) noexcept;
  CommandClient& operator=(CommandClient&& other) noexcept;
  ~CommandClient();

  // Sends the command and waits for its answer, without the ends of the lines.
  // Unavailable if the program has gone.
  absl::StatusOr<std::string> Ask(absl::string_view command);

  // The two halves of it: several commands may be under way.
  absl::Status Send(absl::string_view text);  // as it is
  absl::StatusOr<std::string> Receive();
  // Nothing more will be sent.
  void ShutDown();

 private:
  explicit CommandClient(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
  std::string received_;
};

}  // namespace site_manager

#endif  // INSTAR_EXAMPLES_COMMAND_CLIENT_H_
