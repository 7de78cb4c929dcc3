// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program that stays as it is while a library and a plug-in of it go through
// three builds. Commands on standard input: show, open FILE, close, load FILE,
// undo, serve (until the next line).

#include <dlfcn.h>

#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <string>

#include "manager/manager.h"
#include "tools/differ/shared_test/shop.h"

int Sold();

int shop_discount(int price) { return price - 1; }

extern "C" int host_note(const char* what) {
  std::printf("  noted: %s\n", what);
  return 1000;
}

namespace {

void* plugin = nullptr;
int (*run)(int) = nullptr;

void Show() {
  std::printf("buy: %d %d\n", shop_buy(2), shop_buy(7));
  std::printf("sold: %d\n", Sold());
  std::printf("report: %s\n", shop_report().c_str());
  std::printf("tax: %d\n", shop_tax(100));
  try {
    shop_buy(1000);
  } catch (const std::exception& error) {
    std::printf("thrown: %s\n", error.what());
  }
  if (run != nullptr) std::printf("plug-in: %d\n", run(7));
}

int WaitForLine() {
  std::printf("serving\n");
  std::fflush(stdout);
  std::string line;
  std::getline(std::cin, line);
  return 0;
}

std::string Open(const std::string& file) {
  plugin = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (plugin == nullptr) return dlerror();
  run = reinterpret_cast<int (*)(int)>(dlsym(plugin, "plugin_run"));
  return "";
}

}  // namespace

int main() {
  auto manager = instar::Manager::Start();
  if (!manager.ok()) {
    std::printf("%s\n", manager.status().ToString().c_str());
    return 1;
  }
  host_note("the program has started");  // and is not dropped by the linker
  for (std::string command; std::getline(std::cin, command);) {
    const std::string word = command.substr(0, command.find(' '));
    const std::string rest = command.substr(command.find(' ') + 1);
    std::printf("---- %s\n", word.c_str());
    std::string said;
    if (word == "show") {
      Show();
    } else if (word == "open") {
      said = Open(rest);
    } else if (word == "close") {
      // The pointer stays: it is good for as long as an update keeps the
      // plug-in.
      if (dlclose(plugin) != 0) said = dlerror();
    } else if (word == "load") {
      const auto loaded = manager->Load(rest);
      said = loaded.status().ToString();
      if (loaded.ok()) {
        said.clear();
        for (const std::string& remark : loaded->remarks) {
          std::printf("  %s\n", remark.c_str());
        }
      }
    } else if (word == "serve") {
      std::printf("served: %d\n", shop_serve(&WaitForLine));
    } else if (word == "undo") {
      const auto undone = manager->Undo();
      if (!undone.ok()) said = undone.status().ToString();
    }
    if (!said.empty()) std::printf("%s\n", said.c_str());
    std::fflush(stdout);
  }
  return 0;
}
