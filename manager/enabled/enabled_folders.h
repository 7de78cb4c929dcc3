// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where the updates are kept that a program has at its next start
// (manager/enabled/enabled_store.h), and whose files are believed there.
//
// Root's are in /var/lib/instar, where every program looks. Another user's are
// in $XDG_STATE_HOME/instar, or else in $HOME/.local/state/instar; those
// programs look there as well that run as this user when they start.
// $INSTAR_STATE_DIRECTORY, if set, is looked at instead of both.
//
// Who can write there can run code in a program. So a folder and a file must
// belong to root, or to the user as whom this process runs; nobody else may
// write them; and they must be no symbolic links.
//
// A program that has more rights than who started it (set-user-ID, set-group-ID
// or file capabilities) has none: IsPrivilegedStart().
//
// Threads: any, but FromEnvironment() only where the program does not change
// its environment meanwhile.

#ifndef INSTAR_MANAGER_ENABLED_ENABLED_FOLDERS_H_
#define INSTAR_MANAGER_ENABLED_ENABLED_FOLDERS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "manager/module/file_descriptor.h"

namespace instar {

struct EnabledFolders {
  static EnabledFolders FromEnvironment();

  // Those that are looked through, in this order.
  std::vector<std::string> All() const;

  std::string system;  // root's; empty: it is not looked at, or is `own`
  std::string own;     // where this user enables updates; empty: nowhere
  // Where marks go (manager/enabled/start_mark.h) for which neither of the two
  // can be written; empty: nowhere. Not set by FromEnvironment().
  std::string marks;
};

// The kernel's AT_SECURE.
bool IsPrivilegedStart();

namespace manager_internal {

// Opens a folder that is to be believed.
// Errors: NotFound if it is not there; PermissionDenied, with the remedy, if it
// is not to be believed; FailedPrecondition if it is no folder, or a link.
absl::StatusOr<FileDescriptor> OpenTrustedFolder(const std::string& path);

// The same for a file, to be read.
absl::StatusOr<FileDescriptor> OpenTrustedFile(const std::string& path);

// Makes a folder that is missing, for this user, with those above it, and opens
// it. Root's can be read by all, as their programs are to read it.
absl::StatusOr<FileDescriptor> MakeTrustedFolder(const std::string& path);

// The mode of a file there: 0644 or 0600.
unsigned TrustedFileMode();

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_ENABLED_ENABLED_FOLDERS_H_
