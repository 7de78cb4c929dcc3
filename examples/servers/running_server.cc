// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/servers/running_server.h"

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace servers {
namespace {

using site_manager::ChildProcess;
using site_manager::Finished;

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

}  // namespace

std::string ToolPath(const std::string& tool, const std::string& package) {
  const char* const path = std::getenv("PATH");
  const std::string folders = path == nullptr ? "/usr/bin:/bin" : path;
  for (const absl::string_view folder : absl::StrSplit(folders, ':')) {
    const std::string file = absl::StrCat(folder, "/", tool);
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  Die(absl::StrCat(tool, " is missing. It comes with the Debian package ",
                   package, ". Install it with: sudo apt-get install ",
                   package));
}

RunningServer::RunningServer(std::string program,
                             const std::vector<std::string>& flags)
    : program_(std::move(program)) {
  std::vector<std::string> words = {program_, "--port=0"};
  words.insert(words.end(), flags.begin(), flags.end());
  process_ = std::make_unique<ChildProcess>(
      words, std::vector<std::string>{
                 absl::StrCat("INSTAR_SOCKET_DIRECTORY=", directory_.path())});
  const std::string kBefore = "at port ";
  const std::optional<std::string> line =
      process_->AwaitLine([&](const std::string& said) {
        return absl::StrContains(said, kBefore);
      });
  if (!line.has_value()) {
    for (const std::string& said : process_->Output()) {
      std::fprintf(stderr, "%s\n", said.c_str());
    }
    Die(program_ + " does not start");
  }
  port_ = std::atoi(line->c_str() + line->find(kBefore) + kBefore.size());
}

std::string RunningServer::Url(absl::string_view path) const {
  return absl::StrCat("http://127.0.0.1:", port_, path);
}

std::string RunningServer::ModulePath(absl::string_view name) const {
  const std::filesystem::path folder =
      std::filesystem::path(program_).parent_path();
  return std::filesystem::absolute(folder / absl::StrCat(name, ".so"));
}

instar::ControlClient RunningServer::Control() const {
  const std::string name = std::filesystem::path(program_).filename();
  absl::StatusOr<instar::ControlClient> client =
      instar::ControlClient::Connect(absl::StrCat(
          directory_.path(), "/", name, ".", process_->pid(), ".sock"));
  if (!client.ok()) Die(client.status().ToString());
  return *std::move(client);
}

Finished RunningServer::Instarctl(const std::vector<std::string>& arguments) {
  const std::unique_ptr<ChildProcess> child = StartInstarctl(arguments);
  const int code = child->Wait();
  return {code, child->Output()};
}

std::unique_ptr<ChildProcess> RunningServer::StartInstarctl(
    const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {"tools/instarctl/instarctl"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return std::make_unique<ChildProcess>(
      words, std::vector<std::string>{
                 absl::StrCat("INSTAR_SOCKET_DIRECTORY=", directory_.path())});
}

instar::PendingReport RunningServer::AwaitWaiting(absl::string_view reason) {
  instar::ControlClient control = Control();
  while (true) {
    const absl::StatusOr<instar::StatusReport> status = control.Status();
    if (!status.ok()) Die(status.status().ToString());
    for (const instar::PendingReport& pending : status->pending) {
      for (const instar::Blocker& blocker : pending.progress.blockers) {
        if (absl::StrContains(blocker.reason, reason)) return pending;
      }
    }
    if (!status->applied.empty()) Die("the update did not wait");
  }
}

int RunningServer::End() {
  process_->Signal(SIGTERM);
  return process_->Wait();
}

}  // namespace servers
