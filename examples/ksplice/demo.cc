// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
//   tools/bazelw run //examples/ksplice:demo

#include <chrono>
#include <string>

#include "examples/scenario/scenario.h"

namespace {

void Deliver(examples::Scenario& scenario, const std::string& expected) {
  scenario.Tell("deliver");
  const std::string line = scenario.Hear();
  scenario.Check(line == expected, "expected: " + expected);
}

}  // namespace

int main(int argc, char** argv) {
  examples::Scenario scenario(argc, argv, "examples/ksplice");
  scenario.Chapter("Three threads, always inside");
  scenario.Tell("samples");
  scenario.Hear();
  Deliver(scenario, "delivered by version 0, all right");

  scenario.Chapter("A patch that only looks never finds all of them outside");
  scenario.Rehearse("impatient_patch_1");
  scenario.Refused("impatient_patch_1", std::chrono::seconds(1),
                   "ksplice::Deliver(");
  Deliver(scenario, "delivered by version 0, all right");

  scenario.Chapter("Three patches, one on the other; new calls wait meanwhile");
  for (const std::string version : {"1", "2", "3"}) {
    scenario.Load("patch_" + version);
    Deliver(scenario, "delivered by version " + version + ", all right");
  }
  scenario.Tell("samples");
  scenario.Hear();

  scenario.Chapter("Undone in reverse");
  for (const std::string version : {"2", "1", "0"}) {
    scenario.Undo();
    Deliver(scenario, "delivered by version " + version + ", all right");
  }

  scenario.Chapter("What a mixture would be: half of a patch");
  scenario.Load("half_patch_1");
  Deliver(scenario, "delivered by version 0, and some came out wrong");
  scenario.Undo();
  Deliver(scenario, "delivered by version 0, all right");
  return scenario.End();
}
