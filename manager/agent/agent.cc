// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// libinstar_agent.so: a manager for programs that know nothing of Instar. It
// starts before main(), in a program that is linked with it or started with
// LD_PRELOAD=libinstar_agent.so, if that was compiled for updates
// (instar-cc).
//
// Environment, read once, at the start:
//   INSTAR_NAME   by which instarctl finds the program; the executable's name
//                 if it is not set
//   INSTAR_AGENT  "off": no manager; "quiet": no word on standard error about a
//                 program that was not compiled for updates, as a shell that
//                 was started by the same LD_PRELOAD
//
// The manager ends with the process, when the program's own destructors have
// run.

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/version.h"
#include "code/internal/patchable_entries.h"
#include "manager/manager.h"
#include "manager/module/own_program.h"

// One for the whole process, whichever agent defines it: of two, the second
// one finds the first one's path here.
extern "C" {
extern const char* instar_agent_in_charge;
__attribute__((visibility("default"))) const char* instar_agent_in_charge =
    nullptr;
}

namespace instar {
namespace {

Manager* g_manager = nullptr;  // of the constructor and the destructor below

// Written at once: the program may have closed the descriptor later.
void Say(const std::string& text) {
  const std::string line = absl::StrCat("instar: ", text, "\n");
  (void)!write(STDERR_FILENO, line.data(), line.size());
}

bool AgentIs(const char* setting) {
  const char* const value = getenv("INSTAR_AGENT");
  return value != nullptr && strcmp(value, setting) == 0;
}

const char* PathOf(const void* address) {
  Dl_info info;
  return dladdr(address, &info) != 0 ? info.dli_fname : "?";
}

// How many functions of the program and its libraries can be redefined: without
// those of Instar itself, which has some to try out.
absl::StatusOr<std::size_t> CountEntries() {
  const auto entries = PatchableEntries::Current();
  if (!entries.ok()) return entries.status();
  const auto own = reinterpret_cast<std::uintptr_t>(&Version);
  std::size_t count = 0;
  for (const PatchableImage& image : (*entries)->images()) {
    if (own < image.begin || image.end <= own) count += image.entries.size();
  }
  return count;
}

absl::Status Start() {
  static char here;
  const char* const path = PathOf(&here);
  if (instar_agent_in_charge != nullptr) {
    return absl::AlreadyExistsError(
        absl::StrCat("this process has an agent already, ",
                     instar_agent_in_charge, ": ", path, " does nothing"));
  }
  instar_agent_in_charge = path;
  if (strcmp(Version(), INSTAR_VERSION) != 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " is of version ", INSTAR_VERSION, ", and the library ",
        PathOf(reinterpret_cast<const void*>(&Version)), " of version ",
        Version(), ": install both anew; no update can be loaded"));
  }
  const absl::StatusOr<std::size_t> entries = CountEntries();
  if (!entries.ok()) return entries.status();
  if (*entries == 0) {
    if (AgentIs("quiet")) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(
        "none of the functions of ", OwnProgramName(),
        " has an entry that can be redirected, so that no update can be "
        "loaded; compile it with instar-cc or instar-c++ (flag "
        "-fpatchable-function-entry=5)"));
  }
  ManagerOptions options;
  if (const char* const name = getenv("INSTAR_NAME"); name != nullptr) {
    options.name = name;
  }
  absl::StatusOr<Manager> manager = Manager::Start(std::move(options));
  if (!manager.ok()) return manager.status();
  g_manager = new Manager(*std::move(manager));
  return absl::OkStatus();
}

[[gnu::constructor]] void StartBeforeMain() {
  if (AgentIs("off")) return;
  if (const absl::Status started = Start(); !started.ok()) {
    Say(std::string(started.message()));
  }
}

[[gnu::destructor]] void EndAfterMain() { delete g_manager; }

}  // namespace
}  // namespace instar
