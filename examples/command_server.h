// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Text commands from any number of connections, one a line, and an answer of
// one line to each, in the order in which a connection sent them.
//
//   CommandServer server(Listen(port));
//   while (std::optional<Command> command = server.Next()) {
//     server.Answer(*command, DoCommand(command->text));
//   }
//
// Next() waits in a blocking region (threads/blocking_region.h). Connections
// take turns: 4 KiB are read of each before any is read again. A client that
// shuts down its side after its last command still gets all answers; one that
// does not read them is not read from until it does.
//
// What a client can do wrong: a line longer than kLongestCommand is answered by
// an error. When the process has no descriptor
// left, new clients wait until a connection is closed.
//
// Threads: one.

#ifndef INSTAR_EXAMPLES_COMMAND_SERVER_H_
#define INSTAR_EXAMPLES_COMMAND_SERVER_H_

#include <poll.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace site_manager {

inline constexpr std::size_t kLongestCommand = 1000;  // bytes

class CommandServer {
 private:
  struct Connection;

 public:
  struct Command {
    std::string text;  // without the end of the line
    std::shared_ptr<Connection> from;
    bool too_long = false;
  };

  // Takes a listening, non-blocking socket and closes it at its end.
  explicit CommandServer(int listener);
  ~CommandServer();
  CommandServer(const CommandServer&) = delete;
  CommandServer& operator=(const CommandServer&) = delete;

  // The next command; nothing when the program ends (examples/ending.h).
  std::optional<Command> Next();
  // Does nothing if the client has gone.
  void Answer(const Command& command, const std::string& answer);

 private:
  // Reads what there is. False when the program ends.
  bool Poll();
  void Accept();
  void Receive(const std::shared_ptr<Connection>& connection);
  void Send(Connection& connection);

  const int listener_;
  bool can_accept_ = true;
  std::vector<std::shared_ptr<Connection>> connections_;
  std::vector<pollfd> wanted_;
  std::deque<Command> commands_;
};

// A socket for CommandServer at this port of the loopback interface; 0 is one
// that the system chooses. The error names the port.
absl::StatusOr<int> Listen(int port);
// The port of that socket.
int PortOf(int listener);

}  // namespace site_manager

#endif  // INSTAR_EXAMPLES_COMMAND_SERVER_H_
