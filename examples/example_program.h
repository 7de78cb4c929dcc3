// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The site manager as the tour and the tests run it: at a port of the system's
// choice, with a control socket in a temporary directory of its own, beside
// whatever else runs on the machine.
//
//   ExampleProgram program({"--stock=10"});
//   program.Ask("order 2 chair Brest");             // "ordered 2 chair, ..."
//   program.Instarctl({"load", ModulePath("add_ratings")}).code;   // 0
//   program.AwaitDisplay("Brest:");
//   program.End();                                  // 0
//
// The working directory must be that of the runfiles, as it is in a test.
//
// Threads: one.

#ifndef INSTAR_EXAMPLES_EXAMPLE_PROGRAM_H_
#define INSTAR_EXAMPLES_EXAMPLE_PROGRAM_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "examples/child_process.h"
#include "examples/command_client.h"
#include "manager/control/control_client.h"

namespace site_manager {

// Of the update module //examples:name.
std::string ModulePath(absl::string_view name);

// Removed with everything in it when it goes.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class ExampleProgram {
 public:
  // Returns when the program takes commands. Ends the caller if it does not.
  // Programs may share a directory of control sockets.
  explicit ExampleProgram(std::vector<std::string> flags = {},
                          std::shared_ptr<TemporaryDirectory> directory =
                              std::make_shared<TemporaryDirectory>());

  ChildProcess& process() { return *process_; }
  int port() const { return port_; }
  // Where the control sockets are.
  const std::string& directory() const { return directory_->path(); }

  // Over one connection for all commands. The answer or, in brackets, what
  // went wrong.
  std::string Ask(const std::string& command);

  // A display of a site, as one line, that begins so, and that shows what is
  // there now. Nothing if the program has ended.
  std::optional<std::string> AwaitDisplay(absl::string_view beginning);

  // A connection to its control socket. Ends the caller if there is none.
  instar::ControlClient Control() const;

  // The command line tool, for this program; returns when it has ended.
  Finished Instarctl(const std::vector<std::string>& arguments);
  // The same, still running.
  std::unique_ptr<ChildProcess> StartInstarctl(
      const std::vector<std::string>& arguments);

  // Ends it as Ctrl-C does, and returns its exit code.
  int End();

 private:
  std::shared_ptr<TemporaryDirectory> directory_;
  std::unique_ptr<ChildProcess> process_;
  int port_ = 0;
  std::optional<CommandClient> client_;
};

}  // namespace site_manager

#endif  // INSTAR_EXAMPLES_EXAMPLE_PROGRAM_H_
