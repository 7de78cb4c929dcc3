// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Loads modules of this build of the program.

#ifndef INSTAR_MANAGER_NEAR_TEST_LOADING_H_
#define INSTAR_MANAGER_NEAR_TEST_LOADING_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "manager/module/module_file.h"
#include "manager/module/module_loader.h"
#include "manager/module/module_update.h"
#include "manager/near_test/counting.h"
#include "updates/update.h"

namespace instar {

// That of this build of the program.
inline std::string Built(const char* name) {
  return absl::StrCat("manager/near_test/", name, VARIANT ".so");
}

// A module that is loaded, and its update.
struct Loaded {
  std::unique_ptr<LoadedModule> module;  // before `update`, which refers to it
  std::unique_ptr<Update> update;
};

inline absl::StatusOr<Loaded> Load(const std::string& path) {
  const absl::StatusOr<ModuleFile> file = ReadModuleFile(path);
  if (!file.ok()) return file.status();
  absl::StatusOr<LoadedModule> module = LoadModule(*file);
  if (!module.ok()) return module.status();
  Loaded loaded;
  loaded.module = std::make_unique<LoadedModule>(*std::move(module));
  absl::StatusOr<std::unique_ptr<Update>> update = MakeUpdate(*loaded.module);
  if (!update.ok()) return update.status();
  loaded.update = *std::move(update);
  return loaded;
}

inline absl::StatusOr<Loaded> Apply(const std::string& path) {
  absl::StatusOr<Loaded> loaded = Load(path);
  if (!loaded.ok()) return loaded.status();
  loaded->module->KeepLoaded();
  const absl::Status status = loaded->update->Apply({});
  if (!status.ok()) return status;
  return loaded;
}

// How much is added by a call.
inline int Step() {
  const int before = near_count();
  return near_count() - before;
}

}  // namespace instar

#endif  // INSTAR_MANAGER_NEAR_TEST_LOADING_H_
