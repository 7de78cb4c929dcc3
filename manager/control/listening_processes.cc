// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/listening_processes.h"

#include <dirent.h>
#include <sys/stat.h>

#include <cstdint>
#include <sstream>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "manager/control/process_file.h"
#include "manager/control/socket_name.h"

namespace instar {
namespace manager_internal {
namespace {

constexpr std::uint32_t kAcceptsConnections = 1 << 16;  // __SO_ACCEPTCON

bool HasControlThread(pid_t pid) {
  const std::string tasks = absl::StrCat("/proc/", pid, "/task");
  DIR* const stream = opendir(tasks.c_str());
  if (stream == nullptr) return false;
  const absl::Cleanup close = [stream] { closedir(stream); };
  while (const dirent* entry = readdir(stream)) {
    if (entry->d_name[0] == '.') continue;
    if (ReadProcessFile(absl::StrCat(tasks, "/", entry->d_name, "/comm")) ==
        absl::StrCat(kControlThread, "\n")) {
      return true;
    }
  }
  return false;
}

}  // namespace

// Num RefCount Protocol Flags Type St Inode Path, the numbers hexadecimal but
// for the inode.
std::vector<std::string> ListeningPaths(absl::string_view text) {
  std::vector<std::string> paths;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    std::istringstream in{std::string(line)};
    std::string number, references, protocol, flags, type, state, inode, path;
    in >> number >> references >> protocol >> flags >> type >> state >> inode;
    std::uint32_t bits = 0;
    if (!in || !absl::SimpleHexAtoi(flags, &bits) ||
        (bits & kAcceptsConnections) == 0) {
      continue;
    }
    in >> std::ws;
    std::getline(in, path);
    // Without a path, or one of the abstract namespace.
    if (path.empty() || path[0] != '/') continue;
    paths.push_back(std::move(path));
  }
  return paths;
}

std::vector<ListeningProcess> FindListeningProcesses() {
  std::vector<ListeningProcess> found;
  for (std::string& path : ListeningPaths(ReadProcessFile("/proc/net/unix"))) {
    ListeningProcess process;
    if (!ParseSocketName(path.substr(path.rfind('/') + 1), &process.name,
                         &process.pid)) {
      continue;
    }
    struct stat status;
    if (stat(absl::StrCat("/proc/", process.pid).c_str(), &status) != 0 ||
        !HasControlThread(process.pid)) {
      continue;
    }
    process.user = status.st_uid;
    process.socket = std::move(path);
    found.push_back(std::move(process));
  }
  return found;
}

}  // namespace manager_internal
}  // namespace instar
