// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// many_loads ROUNDS: a program that takes one module, and undoes it, again and
// again. It has as many open files afterwards as before, and no other mappings,
// unless the module remembers something: that is said.

#include <dirent.h>
#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "manager/manager.h"
#include "manager/module_test/items.h"

// Sanitizers add static initializers to every module.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kModulesAreBare = false;
#else
constexpr bool kModulesAreBare = true;
#endif

namespace {

int failures = 0;

void Expect(bool condition, const std::string& what) {
  if (condition) return;
  std::fprintf(stderr, "%s\n", what.c_str());
  ++failures;
}

struct Count {
  int files = 0;
  int mappings = 0;
  int of_modules = 0;  // of those
};

Count CountAll() {
  Count count;
  DIR* const folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) ++count.files;
  closedir(folder);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    ++count.mappings;
    count.of_modules += absl::StrContains(line, "instar update module");
  }
  return count;
}

class Program {
 public:
  explicit Program(instar::Manager manager) : manager_(std::move(manager)) {
    for (int i = 0; i < 100; ++i) {
      items_.push_back(std::make_unique<shop::Item>(i));
    }
  }

  void Take(const char* module, int rounds) {
    const std::string path =
        absl::StrCat("manager/module_test/", module, ".so");
    for (int i = 0; i < rounds && failures == 0; ++i) {
      const auto loaded = manager_.Load(path);
      Expect(loaded.ok(), loaded.status().ToString());
      Expect(items_[9]->Version() == 2 && shop::PriceOf(*items_[9]) == 99,
             absl::StrCat("no new version in round ", i));
      const auto undone = manager_.Undo();
      Expect(undone.ok(), undone.status().ToString());
      Expect(items_[9]->Version() == 1 && shop::PriceOf(*items_[9]) == 90,
             absl::StrCat("no old version in round ", i));
    }
  }
  bool Remarks(absl::string_view text) const {
    for (const std::string& remark : manager_.Status().remarks) {
      if (absl::StrContains(remark, text)) return true;
    }
    return false;
  }

 private:
  instar::Manager manager_;
  std::vector<std::unique_ptr<shop::Item>> items_;
};

void Run(int rounds) {
  auto manager = instar::Manager::Start();
  if (!manager.ok()) return Expect(false, manager.status().ToString());
  Program program(*std::move(manager));
  program.Take("new_items", 2);  // what is read once
  const Count before = CountAll();
  program.Take("new_items", rounds);
  const Count after = CountAll();
  Expect(after.files == before.files,
         absl::StrCat(before.files, " files were open before ", rounds,
                      " rounds, and ", after.files, " afterwards"));
  const std::string again = "takes memory each time, since it has ";
  if (kModulesAreBare) {
    Expect(
        after.of_modules == before.of_modules,
        absl::StrCat(before.of_modules, " mappings were of modules before ",
                     rounds, " rounds, and ", after.of_modules, " afterwards"));
    // The allocator's may be more.
    Expect(after.mappings <= before.mappings + 20,
           absl::StrCat(before.mappings, " mappings before ", rounds,
                        " rounds, and ", after.mappings, " afterwards"));
    Expect(!program.Remarks(again), "it remarks what is not so");
  }
  program.Take("remembering_items", 3);
  Expect(program.Remarks(again), "it does not say why it takes memory");
  Expect(CountAll().files == before.files, "a module that remembers is open");
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 0;
  if (argc != 2 || !absl::SimpleAtoi(argv[1], &rounds)) return 2;
  // The path of a socket must be short.
  char path[] = "/tmp/instar-many-loads-XXXXXX";
  if (mkdtemp(path) == nullptr) return 2;
  setenv("INSTAR_SOCKET_DIRECTORY", path, 1);
  Run(rounds);
  std::filesystem::remove_all(path);
  return failures == 0 ? 0 : 1;
}
