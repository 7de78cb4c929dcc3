// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/example_program.h"

#include <stdlib.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace site_manager {
namespace {

constexpr const char* kProgram = "examples/site_manager";
constexpr const char* kInstarctl = "tools/instarctl/instarctl";

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

std::vector<std::string> Append(std::vector<std::string> words,
                                const std::vector<std::string>& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

std::string Setting(const TemporaryDirectory& directory) {
  return "INSTAR_SOCKET_DIRECTORY=" + directory.path();
}

}  // namespace

std::string ModulePath(absl::string_view name) {
  return std::filesystem::absolute(absl::StrCat("examples/", name, ".so"));
}

TemporaryDirectory::TemporaryDirectory() {
  // The path of a socket has 107 bytes: TMPDIR may be too long for that.
  char path[] = "/tmp/instar-example-XXXXXX";
  if (mkdtemp(path) == nullptr) Die("cannot make a directory in /tmp");
  path_ = path;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
  if (error) {
    std::fprintf(stderr, "%s: %s\n", path_.c_str(), error.message().c_str());
  }
}

ExampleProgram::ExampleProgram(std::vector<std::string> flags,
                               std::shared_ptr<TemporaryDirectory> directory)
    : directory_(std::move(directory)) {
  process_ = std::make_unique<ChildProcess>(
      Append({kProgram, "--port=0"}, flags),
      std::vector<std::string>{Setting(*directory_)});
  const std::optional<std::string> line =
      process_->AwaitLine("site_manager: process ");
  const absl::string_view kBefore = "at port ";
  const std::size_t at = line.has_value() ? line->find(kBefore.data()) : 0;
  if (at == 0 || at == std::string::npos) Die("the program does not start");
  port_ = std::atoi(line->c_str() + at + kBefore.size());
  absl::StatusOr<CommandClient> client = CommandClient::Connect(port_);
  if (!client.ok()) Die(client.status().ToString());
  client_ = *std::move(client);
}

std::string ExampleProgram::Ask(const std::string& command) {
  const absl::StatusOr<std::string> answer = client_->Ask(command);
  return answer.ok() ? *answer
                     : absl::StrCat("[", answer.status().message(), "]");
}

std::optional<std::string> ExampleProgram::AwaitDisplay(
    absl::string_view beginning) {
  process_->SkipOutput();
  // The first one may have been begun before.
  if (!process_->AwaitLine(beginning).has_value()) return std::nullopt;
  return process_->AwaitLine(beginning);
}

instar::ControlClient ExampleProgram::Control() const {
  absl::StatusOr<instar::ControlClient> client = instar::ControlClient::Connect(
      absl::StrCat(directory(), "/site_manager.", process_->pid(), ".sock"));
  if (!client.ok()) Die(client.status().ToString());
  return *std::move(client);
}

Finished ExampleProgram::Instarctl(const std::vector<std::string>& arguments) {
  const std::unique_ptr<ChildProcess> child = StartInstarctl(arguments);
  const int code = child->Wait();
  return {code, child->Output()};
}

std::unique_ptr<ChildProcess> ExampleProgram::StartInstarctl(
    const std::vector<std::string>& arguments) {
  return std::make_unique<ChildProcess>(
      Append({kInstarctl}, arguments),
      std::vector<std::string>{Setting(*directory_)});
}

int ExampleProgram::End() {
  process_->Signal(SIGTERM);
  return process_->Wait();
}

}  // namespace site_manager
