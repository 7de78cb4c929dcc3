// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What keeps an enabled update from being applied at each start though it
// crashes the program: a mark, a small file that says why it is left out.
//
//   INSTAR_ASSIGN_OR_RETURN(StartMark mark, StartMark::Set(folders, update));
//   ...                            // it is applied; the process may end here
//   mark.Remove();
//
//   const std::string why = WhyLeftOut(folders, update);     // the next start
//   if (!why.empty()) ...                                    // it is skipped
//
//   LeaveOut(folders, "shop", "ratings", "it crashed in Price()")
//       .IgnoreError();                                      // afterwards
//
// A mark that was set for a start says so only once the process has ended that
// set it: until then the process holds a lock of it (fcntl(F_SETLK), which a
// child made by fork() does not have). Several processes of one program may
// start at the same time.
//
// A mark is for the update as it was enabled: to enable it again, or to disable
// it, makes an end of it. It lies beside the update, or, where this process
// cannot write, in this user's own folder, or in EnabledFolders::marks. Marks
// are read in all three, where they are to be believed.
//
// Threads: any; each StartMark one at a time.

#ifndef INSTAR_MANAGER_ENABLED_START_MARK_H_
#define INSTAR_MANAGER_ENABLED_START_MARK_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "manager/enabled/enabled_folders.h"
#include "manager/enabled/enabled_store.h"
#include "manager/module/file_descriptor.h"

namespace instar {

class StartMark {
 public:
  // Error: PermissionDenied or Internal if it can be written nowhere.
  static absl::StatusOr<StartMark> Set(const EnabledFolders& folders,
                                       const EnabledUpdate& update);
  // What has not been removed stays.
  StartMark(StartMark&&) = default;
  StartMark& operator=(StartMark&&) = default;

  void Remove();

 private:
  StartMark(std::string path, manager_internal::FileDescriptor file)
      : path_(std::move(path)), file_(std::move(file)) {}

  std::string path_;
  manager_internal::FileDescriptor file_;  // keeps the lock
};

// Why the update is left out at a start; empty: it is not.
std::string WhyLeftOut(const EnabledFolders& folders,
                       const EnabledUpdate& update);

// From now on this update of this program is left out, for this reason, where
// it is enabled; how many times that is. Not for this process's own sake: a
// crash of another one has been seen. Root does this for what root has enabled,
// another user for that as well as for its own.
absl::StatusOr<int> LeaveOut(const EnabledFolders& folders,
                             const std::string& program,
                             const std::string& update, const std::string& why);

}  // namespace instar

#endif  // INSTAR_MANAGER_ENABLED_START_MARK_H_
