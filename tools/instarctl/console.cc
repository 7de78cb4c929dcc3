// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/instarctl/console.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <string>

namespace instar {
namespace instarctl {
namespace {

// Signals that ask for an end.
std::atomic<int> interruptions{0};  // written by the handler, one thread

}  // namespace

int Fail(ExitCode code, absl::string_view message) {
  const Style style{
      false, isatty(STDERR_FILENO) != 0 && getenv("NO_COLOR") == nullptr};
  std::fflush(stdout);  // what came before stands before it
  std::fprintf(stderr, "%s %s\n", style.Bad("instarctl:").c_str(),
               std::string(message).c_str());
  return code;
}

ExitCode CodeOf(const absl::Status& error) {
  if (absl::IsDeadlineExceeded(error)) return kTimedOut;
  return absl::IsCancelled(error) ? kCancelled : kRefused;
}

int Fail(const absl::Status& error) {
  return Fail(CodeOf(error), error.message());
}

int Fail(const ControlClient& client, const absl::Status& error) {
  const bool has_answered =
      client.connection().ok() && !absl::IsDeadlineExceeded(error);
  return has_answered ? Fail(error) : Fail(kUnreachable, error.message());
}

void Print(const Lines& lines) {
  for (const std::string& line : lines) std::printf("%s\n", line.c_str());
}

Style OutputStyle() {
  const char* terminal = getenv("TERM");
  const bool is_terminal = isatty(STDOUT_FILENO) != 0 && terminal != nullptr &&
                           absl::string_view(terminal) != "dumb";
  return {is_terminal, is_terminal && getenv("NO_COLOR") == nullptr};
}

ScreenSize SizeFor(const Style& style) {
  return style.is_terminal ? ScreenSizeOf(STDOUT_FILENO) : ScreenSize{};
}

void CountInterruptions() {
  struct sigaction action = {};
  action.sa_handler = [](int) {
    interruptions.fetch_add(1, std::memory_order_relaxed);
  };
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int Interruptions() { return interruptions.load(std::memory_order_relaxed); }

}  // namespace instarctl
}  // namespace instar
