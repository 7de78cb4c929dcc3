// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
//   tools/bazelw run //examples/explorer:demo

#include <iostream>
#include <string>

#include "examples/explorer/ounces.h"
#include "examples/explorer/post.h"
#include "tools/explorer/explorer.h"

namespace {

// Whether what it finds is what is to be found.
bool Explore(const std::string& title, const instar::ExploredUpdate& update,
             bool is_right) {
  std::cout << title << "\n# explore " << update.name() << "\n";
  const instar::ExplorerReport report =
      instar::Explore(&post::Workload, update);
  std::cout << report << "\n";
  return report.status.ok() && report.ok() == is_right;
}

}  // namespace

int main(int argc, char** argv) {
  if (!instar::ReadExplorerFlags(&argc, argv)) return 2;
  bool is_expected = Explore("Caller and callee, each when it is not active",
                             {"separately", &post::Separately}, false);
  is_expected &= Explore(
      "The same, at a named update point",
      {"separately_between_parcels", &post::SeparatelyBetweenParcels}, true);
  is_expected &= Explore("Two callees of one caller, at one moment",
                         {"at_one_moment", &post::AtOneMoment}, false);
  is_expected &= Explore("The same, at a named update point",
                         {"between_parcels", &post::BetweenParcels}, true);
  std::cout << (is_expected ? "The wrong ones were caught, the others are "
                              "right wherever they are applied."
                            : "That was not expected.")
            << std::endl;
  return is_expected ? 0 : 1;
}
