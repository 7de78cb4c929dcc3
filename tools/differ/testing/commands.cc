// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/testing/commands.h"

#include <cstdio>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status_macros.h"
#include "manager/module/module_file.h"
#include "manager/module/module_loader.h"
#include "manager/module/module_update.h"
#include "updates/update.h"

namespace instar {
namespace {

struct Loaded {
  std::unique_ptr<LoadedModule> module;
  std::unique_ptr<Update> update;
};

absl::StatusOr<Loaded> Load(const std::string& path) {
  INSTAR_ASSIGN_OR_RETURN(const ModuleFile file, ReadModuleFile(path));
  INSTAR_ASSIGN_OR_RETURN(LoadedModule module, LoadModule(file));
  Loaded loaded;
  loaded.module = std::make_unique<LoadedModule>(std::move(module));
  INSTAR_ASSIGN_OR_RETURN(loaded.update, MakeUpdate(*loaded.module));
  INSTAR_RETURN_IF_ERROR(loaded.update->Prepare().status());
  loaded.module->KeepLoaded();
  INSTAR_RETURN_IF_ERROR(loaded.update->Apply({}));
  return loaded;
}

}  // namespace

void RunCommands(absl::FunctionRef<void(const std::string& command)> run) {
  std::vector<Loaded> loaded;
  for (std::string command; std::getline(std::cin, command);) {
    const bool is_load = command.substr(0, 5) == "load ";
    // The file's name is another one wherever the test runs.
    std::printf("---- %s\n", is_load ? "load" : command.c_str());
    if (is_load) {
      absl::StatusOr<Loaded> one = Load(command.substr(5));
      if (one.ok()) {
        loaded.push_back(*std::move(one));
      } else {
        std::printf("%s\n", one.status().ToString().c_str());
      }
    } else if (command == "undo") {
      const absl::Status status = loaded.back().update->Undo({});
      if (status.ok()) {
        loaded.pop_back();
      } else {
        std::printf("%s\n", status.ToString().c_str());
      }
    } else {
      run(command);
    }
    std::fflush(stdout);
  }
}

}  // namespace instar
