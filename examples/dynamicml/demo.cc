// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
//   tools/bazelw run //examples/dynamicml:demo

#include <string>

#include "examples/scenario/scenario.h"

namespace {

void Check(examples::Scenario& scenario, const std::string& steps) {
  scenario.Tell("check");
  const std::string line = scenario.Hear();
  scenario.Check(line ==
                     "1000000 of 1000000 tables are right; they share 10000 "
                     "representations; a name is found in " +
                         steps + " steps",
                 "expected otherwise");
}

void Bind(examples::Scenario& scenario) {
  scenario.Tell("bind");
  const std::string line = scenario.Hear();
  scenario.Check(line.find(" is bound") != std::string::npos,
                 "it is not bound");
}

}  // namespace

int main(int argc, char** argv) {
  examples::Scenario scenario(argc, argv, "examples/dynamicml");
  scenario.Chapter("A million tables, which are lists");
  Check(scenario, "25");
  Bind(scenario);

  scenario.Chapter("They become trees, all at once");
  scenario.Load("tree_tables");
  Check(scenario, "5");
  Bind(scenario);

  scenario.Chapter("And lists again; what was bound meanwhile stays");
  scenario.Undo();
  Check(scenario, "25");
  Bind(scenario);
  return scenario.End();
}
