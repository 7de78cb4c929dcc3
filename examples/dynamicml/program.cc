// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A million places in a program that is compiled, each with the symbol table of
// its scope. A thread looks names up all the time.
//
//   check   looks a name up in each table, and counts the representations
//   bind    binds a name that is new in the innermost scope, and looks it up

#include <unistd.h>

#include <atomic>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "examples/dynamicml/table.h"
#include "manager/manager.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"

namespace dynamicml {
namespace {

// Scopes nest: each has one name more than the one around it.
constexpr int kUnits = 100;
constexpr int kScopes = 100;
constexpr int kPlaces = 100;  // in each scope

std::vector<std::unique_ptr<Table>> tables;
std::atomic<bool> is_over{false};
// Written by the reader. Relaxed: they are read when it has ended.
std::atomic<long> looked_up{0};
std::atomic<long> wrong{0};

int ValueOf(int unit, int scope) { return unit * 1000 + scope; }

void Fill() {
  for (int unit = 0; unit < kUnits; ++unit) {
    std::unique_ptr<Table> scope = Empty();
    for (int s = 0; s < kScopes; ++s) {
      scope = Bind(*scope, absl::StrCat("name", s), ValueOf(unit, s));
      for (int p = 0; p < kPlaces; ++p) tables.push_back(Share(*scope));
    }
  }
}

// Whether a name that has a meaning there has the right one.
bool IsRight(int place, long& steps) {
  const int unit = place / (kScopes * kPlaces);
  const int scope = place / kPlaces % kScopes;
  const int s = place % (scope + 1);
  return LookUp(*tables[place], absl::StrCat("name", s), steps) ==
         ValueOf(unit, s);
}

void Check() {
  constexpr int kTables = kUnits * kScopes * kPlaces;
  int right = 0;
  long steps = 0;
  std::unordered_set<const void*> representations;
  for (int place = 0; place < kTables; ++place) {
    if (IsRight(place, steps)) ++right;
    representations.insert(Representation(*tables[place]));
  }
  std::cout << right << " of " << kTables << " tables are right; they share "
            << representations.size() << " representations; a name is found in "
            << steps / kTables << " steps" << std::endl;
}

void BindOneMore() {
  long steps = 0;
  const std::string name = absl::StrCat("new", tables.size());
  tables.push_back(Bind(*tables.back(), name, 7));
  const bool is_right =
      LookUp(*tables.back(), name, steps) == 7 &&
      LookUp(*tables.back(), "name5", steps) == ValueOf(kUnits - 1, 5);
  std::cout << name << (is_right ? " is bound" : " is not bound") << std::endl;
}

void ReaderMain() {
  int place = 0;
  while (!is_over.load(std::memory_order_relaxed)) {
    for (int i = 0; i < 100; ++i) {
      long steps = 0;
      place = (place + 7919) % (kUnits * kScopes * kPlaces);
      if (!IsRight(place, steps)) ++wrong;
      ++looked_up;
    }
    instar::UpdatePoint();
  }
}

// Reads lines as they come, and may be held while it waits.
void AnswererMain() {
  std::string line;
  while (true) {
    instar::AwaitReadable(STDIN_FILENO);
    char byte;
    if (read(STDIN_FILENO, &byte, 1) != 1) return;
    if (byte != '\n') {
      line += byte;
      continue;
    }
    if (line == "check") Check();
    if (line == "bind") BindOneMore();
    line.clear();
    instar::UpdatePoint();
  }
}

int Main() {
  const absl::StatusOr<instar::Manager> manager = instar::Manager::Start();
  if (!manager.ok()) {
    std::cout << manager.status() << std::endl;
    return 1;
  }
  Fill();
  {
    instar::ControlledThread reader =
        instar::StartPassiveThread("reader", ReaderMain);
    {
      instar::ControlledThread answerer =
          instar::StartPassiveThread("answerer", AnswererMain);
      std::cout << "ready" << std::endl;
    }
    is_over.store(true, std::memory_order_relaxed);
  }
  std::cout << "(" << looked_up << " names were looked up meanwhile)\n"
            << wrong << " of those were wrong" << std::endl;
  return wrong == 0 ? 0 : 1;
}

}  // namespace
}  // namespace dynamicml

int main() { return dynamicml::Main(); }
