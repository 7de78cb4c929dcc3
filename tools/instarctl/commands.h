// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What each command of instarctl does: it prints what comes of it, and answers
// the exit code (tools/instarctl/console.h).
//
// Threads: one.

#ifndef INSTAR_TOOLS_INSTARCTL_COMMANDS_H_
#define INSTAR_TOOLS_INSTARCTL_COMMANDS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "manager/control/protocol.h"
#include "tools/instarctl/output.h"

namespace instar {
namespace instarctl {

// Of the command line.
struct Options {
  std::string program;
  int pid = 0;
  std::string module;
  std::string update;
  std::string library;
  std::string output;
  std::vector<std::string> modules;
  std::string window;
  std::string health;
  std::string max_errors;
  double timeout_s = 30;
  double hold_s = 0.1;
  bool json = false;
  bool watch = false;
  bool without_stacks = false;
  bool all = false;
  std::size_t entries = kDefaultLogEntries;
};

int Ps(const Options& options);
int Check(const Options& options);
// `command`: kLoad or kUndo.
int LoadOrUndo(const Options& options, Command command);
// Once, or again and again until a signal.
int Status(const Options& options);
int Unload(const Options& options);
int Cancel(const Options& options);
int Log(const Options& options);
int Bundle(const Options& options);

// Of a command that asks no program.
int PrintOrFail(const absl::StatusOr<Lines>& lines);

}  // namespace instarctl
}  // namespace instar

#endif  // INSTAR_TOOLS_INSTARCTL_COMMANDS_H_
