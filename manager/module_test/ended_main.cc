// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program whose first thread ends, and which is updated afterwards: what
// /proc/self says is that of the first thread.

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "code/symbols/function.h"
#include "manager/module/module_file.h"
#include "manager/module/module_loader.h"
#include "manager/module/own_program.h"
#include "manager/module_test/shop.h"

namespace {

// Waits until the first thread has ended, and is still listed.
void AwaitZombie() {
  while (true) {
    std::ifstream in(absl::StrCat("/proc/self/task/", getpid(), "/stat"));
    std::string number, name, state;
    in >> number >> name >> state;
    if (state == "Z") return;
    usleep(1000);
  }
}

int Fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  return 1;
}

int Load() {
  AwaitZombie();
  if (instar::OwnProgramName() != "ended_main") {
    return Fail(absl::StrCat("it is called ", instar::OwnProgramName()));
  }
  const absl::StatusOr<instar::ModuleFile> file =
      instar::ReadModuleFile("manager/module_test/for_ended_main.so");
  if (!file.ok()) return Fail(file.status().ToString());
  const absl::StatusOr<instar::LoadedModule> module = instar::LoadModule(*file);
  if (!module.ok()) return Fail(module.status().ToString());
  const absl::StatusOr<instar::Function> function =
      instar::Function::Of(module->entry().plan);
  if (!function.ok()) return Fail(function.status().ToString());
  if (function->name() != "shop::AddRatings(instar::UpdatePlan&)") {
    return Fail(function->name());
  }
  return shop::Log().empty() ? Fail("nothing of it has run") : 0;
}

}  // namespace

int main() {
  std::thread([] { _exit(Load()); }).detach();
  pthread_exit(nullptr);
}
