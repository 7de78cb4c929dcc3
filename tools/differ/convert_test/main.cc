// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program whose objects get members while it runs. Commands: add PRICE,
// remove, show, bundle, unbundle; load FILE,
// undo.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tools/differ/convert_test/shop.h"
#include "tools/differ/testing/commands.h"

int main() {
  instar::RunCommands([](const std::string& command) {
    if (command == "show") {
      std::printf(" %s; visitors: %d\n", shop::Describe().c_str(),
                  shop::visitors());
    } else if (command == "remove") {
      shop::RemoveLast();
    } else if (command == "bundle") {
      shop::AddBundle();
    } else if (command == "unbundle") {
      shop::RemoveBundle();
    } else if (command.substr(0, 4) == "add ") {
      shop::Add(std::atoi(command.c_str() + 4));
    } else {
      std::printf("%s: what is that?\n", command.c_str());
      std::exit(1);
    }
  });
  return 0;
}
