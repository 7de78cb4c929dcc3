// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Lets other processes of the same user ask a ControlService, over a Unix
// socket that they find by the program's name
// (manager/control/socket_directory.h). The language that is spoken there:
// docs/control_protocol.md.
//
//   INSTAR_ASSIGN_OR_RETURN(ControlServer server,
//                           ControlServer::Start(service, "shop"));
//   ...
//   ... give up what is pending, so that its clients hear of it ...
//   server.Stop();                  // or its destructor
//
// Who is served: processes that run as the user as whom this process runs, and
// root (SO_PEERCRED); others get PermissionDenied.
//
// Once a second it is looked whether clients can still come: if the socket's
// name was removed (a cleaner of /tmp), the program has closed the descriptor,
// or has become another user's (setuid), another socket takes its place. What
// the program has closed of ours is told by its identity and left alone.
//
// Several clients at once, each with several requests at once. What one client
// does concerns nobody else:
//   it sends nonsense         that request gets an error; the connection
//                             goes on
//   ... too long a request    an error with the id 0; no more is read from it,
//                             and it is closed when what it asked for is done
//   ... half a request        an error with the id 0 when it shuts down its
//                             side; until then it occupies its place
//   it does not read          nothing more is taken from it while
//                             `unsent_bytes` wait for it; it is closed at twice
//                             as many
//   it goes away              what it asked for goes on: an update that it
//                             loaded takes effect or not as if it had stayed,
//                             and the journal says how that ended
//
// Threads: the service is asked on one thread that the server starts, with the
// program's signals blocked (base/linux/blocked_signals.h); its Status(),
// Program() and Journal() should be quick. `done` may be called by any thread,
// at any time, also after Stop(): then nothing happens. Start() and Stop() by
// one thread at a time, which is none of the service's.
//
// A child made by fork() has no server: its copies of the sockets are closed at
// once, and Stop() does nothing there. A program that is executed inherits
// none.
//
// Cost: a round trip, manager/control/control_server_benchmark.cc.

#ifndef INSTAR_MANAGER_CONTROL_CONTROL_SERVER_H_
#define INSTAR_MANAGER_CONTROL_CONTROL_SERVER_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "manager/control/control_service.h"
#include "manager/control/socket_directory.h"

namespace instar {

struct ControlServerLimits {
  // More get ResourceExhausted and are closed.
  std::size_t clients = 32;
  // Of a connection: Load(), Undo() and Check() that have not called `done`.
  // More get ResourceExhausted.
  std::size_t outstanding = 64;
  // Replies of a connection that its client has not taken yet.
  std::size_t unsent_bytes = 4 << 20;
};

class ControlServer {
 public:
  // `service` must live until Stop() has returned.
  // Errors: those of manager/control/socket_directory.h; ResourceExhausted if
  // the system has no descriptors or threads left.
  static absl::StatusOr<ControlServer> Start(
      ControlService& service, const std::string& program,
      const ControlServerLimits& limits = {},
      const SocketFolders& folders = SocketFolders::FromEnvironment());

  ControlServer(ControlServer&&) noexcept;
  ControlServer& operator=(ControlServer&&) noexcept;
  // Stop(); does not hang, whatever the program has closed.
  ~ControlServer();

  // Where it listens now.
  std::string socket_path() const;

  // Sends what `done` was called with before, as far as a client takes it at
  // once; then closes all connections and removes the socket. Afterwards the
  // service is asked nothing more. Does nothing if it was called before.
  void Stop();

 private:
  class Server;
  explicit ControlServer(std::unique_ptr<Server> server);

  std::unique_ptr<Server> server_;  // null: moved from
};

}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_CONTROL_SERVER_H_
