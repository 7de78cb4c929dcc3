// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Who changed the program, for the administrator: lines in the system's log.
//
//   const SystemLog log = SystemLog::FromEnvironment();
//   log.Write(SystemLog::Severity::kNotice, "event=applied update=\"ratings\"");
//
// A line is a datagram to the socket of syslogd or journald, of the facility
// authpriv, as sudo's are: what code runs in a process is a matter of audit.
//   <85>instar[4242]: event=applied update="ratings"
// Its time is that at which it arrives.
//
// Nothing is waited for, and nothing fails: a line that cannot be taken at
// once, or that nobody takes, is lost. The socket is opened for each line, and
// the program has no descriptor of it meanwhile: it may change its root, where
// nobody may listen.
//
// Threads: any.

#ifndef INSTAR_MANAGER_INTERNAL_SYSTEM_LOG_H_
#define INSTAR_MANAGER_INTERNAL_SYSTEM_LOG_H_

#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace instar {

class SystemLog {
 public:
  enum class Severity { kWarning = 4, kNotice = 5 };

  // Writes nothing.
  SystemLog() = default;
  // To the socket of this path.
  explicit SystemLog(std::string path) : path_(std::move(path)) {}
  // To that which $INSTAR_SYSLOG names, or to none if it is "off"; else to
  // /dev/log. Only where the program does not change its environment meanwhile.
  static SystemLog FromEnvironment();

  // Whether somebody would take a line. For what is dear to write.
  bool IsThere() const;

  // Whether it was taken.
  bool Write(Severity severity, absl::string_view line) const;

 private:
  int Connect() const;

  std::string path_;  // empty: nothing is written
};

// NAME="VALUE", in which nothing but printable characters stand; too long a
// value is cut. With a blank before it.
std::string LogField(absl::string_view name, absl::string_view value);

}  // namespace instar

#endif  // INSTAR_MANAGER_INTERNAL_SYSTEM_LOG_H_
