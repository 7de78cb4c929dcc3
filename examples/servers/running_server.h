// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A server of the examples as a demo or a test runs it: at a port of the
// system's choice, with a control socket in a temporary directory of its own.
//
//   RunningServer server("examples/opus/file_server", {"--root=/tmp/site"});
//   RunToEnd({ToolPath("curl"), server.Url("/index.html")});
//   server.Instarctl({"load", server.ModulePath("close_traversal")}).code;
//   server.End();                                   // 0
//
// The working directory must be that of the runfiles, as it is in a test.
//
// Threads: one.

#ifndef INSTAR_EXAMPLES_SERVERS_RUNNING_SERVER_H_
#define INSTAR_EXAMPLES_SERVERS_RUNNING_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "examples/child_process.h"
#include "examples/example_program.h"
#include "manager/control/control_client.h"
#include "manager/control/control_service.h"

namespace servers {

// Of a client that Debian has. Ends the caller, and says which package to
// install, if it is not there.
std::string ToolPath(const std::string& tool, const std::string& package);

class RunningServer {
 public:
  // Returns when it listens. Ends the caller if it does not.
  RunningServer(std::string program, const std::vector<std::string>& flags);

  site_manager::ChildProcess& process() { return *process_; }
  int port() const { return port_; }
  std::string Url(absl::string_view path) const;
  // Of the update of that name, in the server's folder.
  std::string ModulePath(absl::string_view name) const;

  // A connection to its control socket. Ends the caller if there is none.
  instar::ControlClient Control() const;
  // The command line tool, for this server; returns when it has ended.
  site_manager::Finished Instarctl(const std::vector<std::string>& arguments);
  // The same, still running.
  std::unique_ptr<site_manager::ChildProcess> StartInstarctl(
      const std::vector<std::string>& arguments);
  // Until an update has been tried and waits for something of which the reason
  // says so. Ends the caller if nothing is pending, or the server has ended.
  instar::PendingReport AwaitWaiting(absl::string_view reason);

  // Ends it as Ctrl-C does, and returns its exit code.
  int End();

 private:
  const std::string program_;
  site_manager::TemporaryDirectory directory_;
  std::unique_ptr<site_manager::ChildProcess> process_;
  int port_ = 0;
};

}  // namespace servers

#endif  // INSTAR_EXAMPLES_SERVERS_RUNNING_SERVER_H_
