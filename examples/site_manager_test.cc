// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The program before any update, driven by clients as a user would.

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <csignal>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "examples/child_process.h"
#include "examples/client_load.h"
#include "examples/example_program.h"
#include "gtest/gtest.h"

namespace site_manager {
namespace {

TEST(SiteManagerTest, TakesOrders) {
  ExampleProgram program({"--stock=10", "--period=0.01"});
  EXPECT_EQ(program.Ask("order 2 chair Brest"), "ordered 2 chair, 8 left");
  EXPECT_EQ(program.Ask("order 9 chair Brest"), "only 8 chair left");
  EXPECT_EQ(program.Ask("order 8 chair Brest"), "ordered 8 chair, 0 left");
  EXPECT_EQ(program.Ask("order 1 lamp Nantes"), "ordered 1 lamp, 9 left");
  EXPECT_EQ(program.AwaitDisplay("Brest"), "Brest: chair 0, table 10");
  EXPECT_EQ(program.AwaitDisplay("Nantes"), "Nantes: lamp 9");
  EXPECT_EQ(program.End(), 0);
}

TEST(SiteManagerTest, RefusesWhatItDoesNotUnderstand) {
  ExampleProgram program({"--stock=10"});
  const std::string unknown =
      "unknown command; there is: order QUANTITY PRODUCT SITE";
  EXPECT_EQ(program.Ask("rate 4 chair Brest"), unknown);
  EXPECT_EQ(program.Ask("order two chair Brest"), unknown);
  EXPECT_EQ(program.Ask("order 99999999999 chair Brest"), unknown);
  EXPECT_EQ(program.Ask("order 2 chair"), unknown);
  EXPECT_EQ(program.Ask(""), unknown);
  EXPECT_EQ(program.Ask("order 0 chair Brest"), "order one at least");
  EXPECT_EQ(program.Ask("order -3 chair Brest"), "order one at least");
  EXPECT_EQ(program.Ask("order 2 sofa Brest"), "no such product: sofa");
  EXPECT_EQ(program.Ask("order 2 chair Paris"), "no such site: Paris");
}

TEST(SiteManagerTest, FiftyClients) {
  constexpr int kStock = 1000000;
  ExampleProgram program({absl::StrCat("--stock=", kStock), "--period=0.01"});
  ClientLoad load(program.port(), 50);
  load.AwaitAnswers(20);
  const LoadReport report = load.Stop();
  EXPECT_EQ(report.errors, std::vector<std::string>());
  EXPECT_EQ(report.answered, report.sent);
  EXPECT_GE(report.answered, 1000u);
  EXPECT_EQ(report.fewest_changes, 0);
  int ordered = report.ordered.at("chair Brest") + 1;
  EXPECT_EQ(program.Ask("order 1 chair Brest"),
            absl::StrCat("ordered 1 chair, ", kStock - ordered, " left"));
  EXPECT_EQ(program.End(), 0);
}

TEST(SiteManagerTest, SaysWhatToTypeAndWhenItEnds) {
  ExampleProgram program;
  const std::string port = std::to_string(program.port());
  ASSERT_TRUE(program.process().AwaitLine("In a second terminal:"));
  EXPECT_EQ(program.process().AwaitLine("  tools"),
            "  tools/bazelw run //examples:client -- " + port +
                " order 2 chair Brest");
  program.process().Signal(SIGINT);
  EXPECT_EQ(program.process().Wait(), 0);
  EXPECT_EQ(program.process().Output().back(), "site_manager: ends");
}

TEST(SiteManagerTest, SaysWhatIsWrong) {
  ExampleProgram program;
  const Finished taken = RunToEnd(
      {"examples/site_manager", absl::StrCat("--port=", program.port())});
  EXPECT_EQ(taken.code, 1);
  ASSERT_EQ(taken.output.size(), 1u);
  EXPECT_EQ(taken.output[0],
            absl::StrCat("site_manager: cannot listen at port ", program.port(),
                         " of 127.0.0.1: Address already in use"));
  EXPECT_NE(RunToEnd({"examples/site_manager", "--period=0"}).code, 0);
  EXPECT_NE(RunToEnd({"examples/site_manager", "--stock=many"}).code, 0);
}

// Two programs that both want the usual port.
TEST(SiteManagerTest, TakesAnotherPortIfTheUsualOneIsTaken) {
  const TemporaryDirectory directory;
  const std::string setting = "INSTAR_SOCKET_DIRECTORY=" + directory.path();
  ChildProcess first({"examples/site_manager"}, {setting});
  const auto port_of_first = first.AwaitLine("site_manager: process");
  ChildProcess second({"examples/site_manager"}, {setting});
  const auto port_of_second = second.AwaitLine("site_manager: process");
  ASSERT_TRUE(port_of_first.has_value());
  ASSERT_TRUE(port_of_second.has_value());
  EXPECT_NE(port_of_first->substr(port_of_first->find(", ")),
            port_of_second->substr(port_of_second->find(", ")));
}

// Started at a terminal, it ends when told there.
TEST(SiteManagerTest, QuitAtATerminal) {
  const TemporaryDirectory directory;
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(terminal, 0);
  ASSERT_EQ(grantpt(terminal), 0);
  ASSERT_EQ(unlockpt(terminal), 0);
  const int its_side = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(its_side, 0);
  const int saved = dup(STDIN_FILENO);
  ASSERT_GE(dup2(its_side, STDIN_FILENO), 0);
  ChildProcess program({"examples/site_manager", "--port=0"},
                       {"INSTAR_SOCKET_DIRECTORY=" + directory.path()});
  dup2(saved, STDIN_FILENO);
  ASSERT_TRUE(program.AwaitLine("Ctrl-C ends the program."));
  ASSERT_EQ(write(terminal, "what?\nquit\n", 11), 11);
  EXPECT_EQ(program.Wait(), 0);
  for (const int descriptor : {terminal, its_side, saved}) close(descriptor);
}

}  // namespace
}  // namespace site_manager
