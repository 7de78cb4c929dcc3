// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/cases/pipe_listener.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "examples/cases/program.h"
#include "manager/control/control_service.h"

namespace cases {
namespace {

constexpr absl::string_view kEnd = "end";

int MakePipe(const std::string& path) {
  // Open for writing as well, so that it never ends, whoever closes it.
  const int pipe = mkfifo(path.c_str(), 0600) == 0
                       ? open(path.c_str(), O_RDWR | O_CLOEXEC)
                       : -1;
  if (pipe < 0) {
    std::perror(path.c_str());
    std::exit(1);
  }
  return pipe;
}

}  // namespace

PipeListener::PipeListener(instar::Manager& manager, const std::string& path)
    : manager_(manager), pipe_(MakePipe(path)), thread_([this] { Listen(); }) {}

PipeListener::~PipeListener() {
  const std::string end = absl::StrCat(kEnd, "\n");
  if (write(pipe_, end.data(), end.size()) < 0) std::perror("pipe");
  thread_.join();
  close(pipe_);
}

void PipeListener::Listen() {
  std::string line;
  while (true) {
    char byte;
    const ssize_t got = read(pipe_, &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    if (byte != '\n') {
      line += byte;
      continue;
    }
    if (line == kEnd) return;
    absl::string_view path = line;
    if (absl::ConsumePrefix(&path, "update ")) {
      const absl::StatusOr<instar::UpdateReport> report =
          manager_.Load(std::string(path));
      Say(report.ok() ? absl::StrCat("pipe: ", report->update, " is applied")
                      : absl::StrCat("pipe: ", report.status().message()));
    } else {
      Say("pipe: what is '" + line + "'?");
    }
    line.clear();
  }
}

}  // namespace cases
