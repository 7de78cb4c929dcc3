// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program whose objects have a structure more in them after an update.
// Commands: add, write TEXT, read; load FILE, undo.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tools/differ/regrouping_test/letters.h"
#include "tools/differ/testing/commands.h"

int main() {
  instar::RunCommands([](const std::string& command) {
    if (command == "read") {
      std::printf("%s\n", Read());
    } else if (command == "add") {
      AddLetter();
    } else if (command.substr(0, 6) == "write ") {
      Write(command.c_str() + 6);
    } else {
      std::printf("%s: what is that?\n", command.c_str());
      std::exit(1);
    }
  });
  return 0;
}
