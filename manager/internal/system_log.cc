// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/internal/system_log.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "manager/module/file_descriptor.h"

namespace instar {
namespace {

using manager_internal::FileDescriptor;

constexpr char kSystem[] = "/dev/log";
constexpr std::size_t kLongestValue = 1000;

}  // namespace

SystemLog SystemLog::FromEnvironment() {
  const char* const chosen = getenv("INSTAR_SYSLOG");
  if (chosen == nullptr || *chosen == '\0') return SystemLog(kSystem);
  return SystemLog(std::strcmp(chosen, "off") == 0 ? "" : chosen);
}

int SystemLog::Connect() const {
  sockaddr_un address = {};
  if (path_.empty() || path_.size() >= sizeof(address.sun_path)) return -1;
  FileDescriptor log(
      socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (log.number() < 0) return -1;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.data(), path_.size());
  if (connect(log.number(), reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) != 0) {
    return -1;
  }
  return log.Release();
}

bool SystemLog::IsThere() const {
  return FileDescriptor(Connect()).number() >= 0;
}

bool SystemLog::Write(Severity severity, absl::string_view line) const {
  const FileDescriptor log(Connect());
  if (log.number() < 0) return false;
  const std::string text =
      absl::StrCat("<", LOG_AUTHPRIV | static_cast<int>(severity), ">instar[",
                   getpid(), "]: ", line);
  return send(log.number(), text.data(), text.size(),
              MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

std::string LogField(absl::string_view name, absl::string_view value) {
  const bool is_cut = value.size() > kLongestValue;
  return absl::StrCat(" ", name, "=\"",
                      absl::Utf8SafeCEscape(value.substr(0, kLongestValue)),
                      is_cut ? "...\"" : "\"");
}

}  // namespace instar
