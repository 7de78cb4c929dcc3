// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/link.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

extern char** environ;

namespace instar {
namespace differ {

absl::Status RunCommand(const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  int output[2];
  if (pipe(output) != 0) return absl::ErrnoToStatus(errno, "pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  absl::Cleanup destroy = [&] { posix_spawn_file_actions_destroy(&actions); };
  posix_spawn_file_actions_adddup2(&actions, output[1], STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, output[0]);
  posix_spawn_file_actions_addclose(&actions, output[1]);
  pid_t child = 0;
  const int error = posix_spawnp(&child, arguments.front(), &actions, nullptr,
                                 arguments.data(), environ);
  close(output[1]);
  absl::Cleanup close_output = [&] { close(output[0]); };
  if (error != 0) {
    return absl::NotFoundError(absl::StrCat(
        command.front(),
        " cannot be run: ", std::system_category().message(error)));
  }
  std::string said;
  char buffer[4096];
  while (true) {
    const ssize_t size = read(output[0], buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    said.append(buffer, static_cast<std::size_t>(size));
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(absl::StrJoin(command, " "), " failed:\n", said));
}

absl::Status LinkModule(const ModuleLink& link) {
  std::vector<std::string> command =
      absl::StrSplit(link.compiler, ' ', absl::SkipEmpty());
  const std::string unfinished = link.output + ".unfinished";
  for (const char* flag :
       {"-shared", "-Wl,-z,now", "-Wl,-z,defs", "-Wl,-Bsymbolic",
        "-Wl,--build-id=sha1", "-Wl,--as-needed"}) {
    command.emplace_back(flag);
  }
  command.push_back(absl::StrCat("-Wl,-soname,", link.soname));
  command.emplace_back("-o");
  command.push_back(unfinished);
  command.insert(command.end(), link.objects.begin(), link.objects.end());
  command.insert(command.end(), link.libraries.begin(), link.libraries.end());
  absl::Status status = RunCommand(command);
  if (status.ok() &&
      std::rename(unfinished.c_str(), link.output.c_str()) != 0) {
    status = absl::ErrnoToStatus(
        errno, absl::StrCat(link.output, " cannot be written"));
  }
  if (!status.ok()) std::remove(unfinished.c_str());
  return status;
}

}  // namespace differ
}  // namespace instar
