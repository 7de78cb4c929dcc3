// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What /proc says of other processes. Internal to this package.

#ifndef INSTAR_MANAGER_CONTROL_PROCESS_FILE_H_
#define INSTAR_MANAGER_CONTROL_PROCESS_FILE_H_

#include <sys/types.h>

#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"

namespace instar {
namespace manager_internal {

// Empty if it is not there, or must not be read; what was read before the
// process ended, if it does so meanwhile. An iterator of the buffer would
// throw then.
inline std::string ReadProcessFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

struct ProcessStat {
  char state = '?';
  pid_t parent = 0;
  int threads = 0;
};

// Nothing if there is no such process.
inline std::optional<ProcessStat> ReadProcessStat(pid_t pid) {
  const std::string text =
      ReadProcessFile(absl::StrCat("/proc/", pid, "/stat"));
  // Its name, in parentheses, may hold any of them.
  const std::size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream in(text.substr(name_end + 1));
  ProcessStat stat;
  in >> stat.state >> stat.parent;
  std::string unused;
  for (int i = 5; i < 20; ++i) in >> unused;  // numbered as in proc(5)
  in >> stat.threads;
  return in ? std::optional<ProcessStat>(stat) : std::nullopt;
}

// Whether it is there and has not ended. One whose first thread has ended is a
// zombie to /proc, also while others run.
inline bool IsRunning(pid_t pid) {
  const std::optional<ProcessStat> stat = ReadProcessStat(pid);
  return stat.has_value() &&
         ((stat->state != 'Z' && stat->state != 'X') || stat->threads > 1);
}

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_PROCESS_FILE_H_
