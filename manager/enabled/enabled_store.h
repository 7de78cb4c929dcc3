// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The updates that a program is to have from its start on: those of its
// journal are gone when it ends, these are kept.
//
//   EnabledStore store(EnabledFolders::FromEnvironment().own, "shop");
//   INSTAR_ASSIGN_OR_RETURN(EnabledUpdate enabled, store.Enable("ratings.so"));
//   INSTAR_ASSIGN_OR_RETURN(std::vector<EnabledUpdate> all, store.List());
//   INSTAR_RETURN_IF_ERROR(store.Disable("ratings"));
//
// Manager::ApplyEnabled() applies them, in this order; the agent calls it
// before main(). Here is what is on the disk:
//
//   FOLDER/shop/enabled.json          what is enabled, in order
//   FOLDER/shop/ratings.DIGEST.so     the copy of a module, or of a bundle
//   FOLDER/shop/shop.ID.PID.left_out  a mark (manager/enabled/start_mark.h)
//
// FOLDER is one of EnabledFolders; "shop" is the name by which the program is
// found by instarctl, or that of its executable: it looks under both.
//
// A change takes effect at one moment, by rename(), or not at all; several who
// change exclude each other by flock() on the folder. Readers do not wait.
//
// Errors name the file, the reason and the remedy; those of
// manager/module/module_file.h for a module, those of
// manager/enabled/enabled_folders.h for what is not to be believed;
// InvalidArgument for a list that is damaged, or of another Instar.
//
// Threads: any.

#ifndef INSTAR_MANAGER_ENABLED_ENABLED_STORE_H_
#define INSTAR_MANAGER_ENABLED_ENABLED_STORE_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace instar {

struct EnabledUpdate {
  std::string program;              // the name of the store
  std::string update;               // the name of the update
  std::vector<std::string> builds;  // build ids of the program, hexadecimal
  std::string digest;               // of the file: SHA-256, hexadecimal
  std::string path;                 // of the copy
  std::chrono::system_clock::time_point enabled;
  // Unlike that of any other, and another one when it is enabled again.
  std::string id;

  bool IsFor(const std::string& build_id) const;
};

class EnabledStore {
 public:
  // Nothing is looked at yet.
  EnabledStore(std::string folder, std::string program);

  // In the order in which they were enabled; empty if nothing ever was.
  absl::StatusOr<std::vector<EnabledUpdate>> List() const;

  // Copies a module, or a bundle. One that is enabled already, for no build
  // that this one is not for, is replaced where it stands; another one comes
  // last. Marks that leave it out are gone. What belongs to nothing that is
  // enabled is cleared away.
  absl::StatusOr<EnabledUpdate> Enable(const std::string& module) const;

  // For all builds. NotFound, with the names that there are.
  absl::Status Disable(const std::string& update) const;

  // The names of programs for which something is or was enabled in a folder.
  static absl::StatusOr<std::vector<std::string>> Programs(
      const std::string& folder);

 private:
  absl::Status CheckName() const;
  absl::Status Write(const std::vector<EnabledUpdate>& all, int folder) const;

  std::string folder_;
  std::string program_;
  std::string path_;  // of the program's folder
};

// That the file is there, to be believed, and the one that was enabled.
absl::Status CheckEnabledFile(const EnabledUpdate& update);

}  // namespace instar

#endif  // INSTAR_MANAGER_ENABLED_ENABLED_STORE_H_
