// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The update add_ratings, tried wherever the site manager can be updated: at
// the update points of the thread that takes orders, and at each entry of a
// function by the thread that displays.

#include <sys/eventfd.h>
#include <unistd.h>

#include <iostream>
#include <map>
#include <string>

#include "examples/command_client.h"
#include "examples/command_server.h"
#include "examples/ending.h"
#include "examples/site_manager.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "tools/explorer/explorer.h"

namespace site_manager {
namespace {

// Orders and rates over a connection, and displays the sites in the end. One
// product of each site is rated, and once: what a mean says does not depend on
// how many ratings were refused before the update.
void Workload() {
  // Runs are children of one process: each has an ending of its own.
  dup2(eventfd(0, EFD_NONBLOCK), ending.descriptor());
  const int listener = Listen(0).value();
  auto client = CommandClient::Connect(PortOf(listener)).value();
  {
    auto socket =
        instar::StartPassiveThread("socket", [=] { SocketMain(listener); });
    for (const char* const command :
         {"order 2 chair Brest", "rate 4 chair Brest", "order 1 lamp Nantes",
          "rate 5 lamp Nantes", "order 99 table Brest", "rate 6 lamp Nantes"}) {
      std::cout << client.Ask(command).value() << std::endl;
    }
    ending.Announce();
  }
  instar::StartActiveThread("site_manager", &SiteManagerMain);
}

TEST(AddRatingsExplorerTest, IsRightWhereverItIsApplied) {
  FillCompany(100);
  const instar::ExplorerReport report =
      instar::Explore(&Workload, instar::LinkedUpdateModule());
  EXPECT_TRUE(report.ok()) << report;
  std::map<std::string, int> right;
  for (const instar::ExploredPoint& point : report.tried) {
    if (point.outcome == instar::PointOutcome::kRight) ++right[point.where];
  }
  const std::string in_socket = " in site_manager::SocketMain(int)";
  EXPECT_EQ(right["UpdatePoint(\"before a command\")" + in_socket], 6);
  EXPECT_EQ(right["UpdatePoint(\"after a command\")" + in_socket], 6);
  EXPECT_GT(right.size(), 2);
}

}  // namespace
}  // namespace site_manager
