// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program with a manager that takes generated modules as it takes others:
// checked, loaded, undone, loaded again, unloaded, and in the journal.

#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "manager/control/control_client.h"
#include "manager/manager.h"
#include "manager/near_test/counting.h"

namespace {

constexpr char kModule[] = "manager/near_test/tens_managed.so";

int failures = 0;

void Expect(bool condition, const std::string& what) {
  if (condition) return;
  std::fprintf(stderr, "%s\n", what.c_str());
  ++failures;
}

int Step() {
  const int before = near_count();
  return near_count() - before;
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// The files of this process's modules in the folder.
std::set<std::string> ModuleFiles(const std::string& folder) {
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (absl::StrContains(name, absl::StrCat(".", getpid(), ".tens"))) {
      found.insert(entry.path().string());
    }
  }
  return found;
}

// Whether it is among them that the C library has a function of a name, too.
void ExpectRemark(const std::vector<std::string>& remarks, const char* where) {
  for (const std::string& remark : remarks) {
    if (absl::StrContains(remark, "abs of the program is preempted")) return;
  }
  Expect(false, absl::StrCat("the ", where,
                             " does not say what the module's "
                             "functions do not reach: ",
                             absl::StrJoin(remarks, "; ")));
}

void Check(const std::string& socket) {
  auto client = instar::ControlClient::Connect(socket);
  if (!client.ok()) return Expect(false, client.status().ToString());
  for (const bool without_stacks : {true, false}) {
    const auto report = client->Check(
        std::filesystem::absolute(kModule).string(), without_stacks);
    if (!report.ok()) return Expect(false, report.status().ToString());
    ExpectRemark(report->forecast.remarks, "check");
  }
}

// By the manager's own threads. What a thread has in its hands just then may
// lead to a module for a moment.
void Unload(const std::string& socket) {
  constexpr int kMost = 20;
  auto client = instar::ControlClient::Connect(socket);
  if (!client.ok()) return Expect(false, client.status().ToString());
  std::size_t unloaded = 0;
  std::string why = "nothing was to be unloaded";
  for (int i = 0; i < kMost && !why.empty(); ++i) {
    const auto report = client->Unload("tens", std::chrono::minutes(1));
    if (!report.ok()) return Expect(false, report.status().ToString());
    unloaded += report->unloaded;
    why = report->kept.empty() ? "" : report->kept.front().because;
    const auto status = client->Status();
    if (!status.ok()) return Expect(false, status.status().ToString());
    Expect(status->kept.size() == report->kept.size(),
           "the status says something else than the report");
  }
  Expect(unloaded == 3 && why.empty(),
         absl::StrCat(unloaded, " modules are unloaded; ", why));
}

void Run(const std::string& folder) {
  auto manager = instar::Manager::Start();
  if (!manager.ok()) return Expect(false, manager.status().ToString());
  Check(manager->socket_path());
  // Its counter has another value than at first, so that each load is a new
  // one.
  std::set<std::string> files;
  for (std::size_t i = 1; i <= 3 && failures == 0; ++i) {
    const auto loaded = manager->Load(kModule);
    Expect(loaded.ok(), loaded.status().ToString());
    if (loaded.ok()) {
      ExpectRemark(loaded->remarks, "answer");
      ExpectRemark(manager->Status().remarks, "status");
    }
    Expect(Step() == 10, "it counts as before");
    files = ModuleFiles(folder);
    Expect(
        files.size() == i,
        absl::StrCat("its files are \"", absl::StrJoin(files, "\", \""), "\""));
    const auto undone = manager->Undo();
    Expect(undone.ok(), undone.status().ToString());
    Expect(Step() == 1, "it does not count as before");
  }
  Unload(manager->socket_path());
  Expect(ModuleFiles(folder).empty(), "there are files of what is unloaded");
  Expect(Step() == 1, "it does not count as before");
  const std::string journal = ReadAll(folder + "/managed.journal");
  for (const std::string& file : files) {
    Expect(absl::StrContains(journal, file),
           absl::StrCat("the journal does not name ", file));
  }
  Expect(absl::StrContains(journal, "unloaded"),
         "the journal does not tell of the unloading");
}

}  // namespace

int main() {
  // The path of a socket must be short.
  char folder[] = "/tmp/instar-managed-XXXXXX";
  if (mkdtemp(folder) == nullptr) return 2;
  setenv("INSTAR_SOCKET_DIRECTORY", folder, 1);
  Run(folder);
  std::filesystem::remove_all(folder);
  return failures == 0 ? 0 : 1;
}
