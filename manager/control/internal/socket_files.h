// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The folder of the control sockets, and what is in it, as those who make
// sockets and those who look for them both see it. Internal to this package.

#ifndef INSTAR_MANAGER_CONTROL_INTERNAL_SOCKET_FILES_H_
#define INSTAR_MANAGER_CONTROL_INTERNAL_SOCKET_FILES_H_

#include <sys/un.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/linux/own_descriptor.h"
#include "manager/control/closed_in_child.h"
#include "manager/control/socket_directory.h"
#include "manager/module/file_descriptor.h"

namespace instar {
namespace manager_internal {

// Internal: "cannot open PATH: Permission denied".
absl::Status Failed(absl::string_view what, const std::string& path, int error);

// Opens the folder and checks that nobody else can reach what is in it.
// NotFound if it is not there.
absl::StatusOr<OwnDescriptor> OpenSocketDirectory(const std::string& path);

// InvalidArgument if it is too long.
absl::StatusOr<sockaddr_un> SocketAddress(const std::string& path);
FileDescriptor NewSocket(int flags);
// 0, or errno.
int ConnectSocket(int socket, const sockaddr_un& address);

enum class Listener { kLiving, kDead, kNone };

// Does not wait.
absl::StatusOr<Listener> ProbeSocket(const std::string& path);

// The exclusive lock of an open folder. A child that is forked while it is held
// does not have it.
class DirectoryLock {
 public:
  // Nothing, if others hold it for the whole time.
  static std::optional<DirectoryLock> Take(OwnDescriptor* directory,
                                           int patience_in_steps);

  DirectoryLock(DirectoryLock&& other) noexcept
      : directory_(std::exchange(other.directory_, nullptr)),
        closed_in_child_(std::move(other.closed_in_child_)) {}
  // Not left to close(): whoever has got a descriptor of the same open file in
  // another way would keep the lock.
  ~DirectoryLock();

 private:
  DirectoryLock(OwnDescriptor* directory,
                std::unique_ptr<ClosedInChild> closed_in_child)
      : directory_(directory), closed_in_child_(std::move(closed_in_child)) {}

  OwnDescriptor* directory_;
  std::unique_ptr<ClosedInChild> closed_in_child_;
};

// What listens in the folder. Under `lock`, removes what does not.
absl::StatusOr<std::vector<RunningProgram>> ScanSocketDirectory(
    const std::string& directory, const DirectoryLock* lock);

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_INTERNAL_SOCKET_FILES_H_
