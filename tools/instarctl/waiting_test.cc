// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What instarctl shows of an update that waits, and what signals do meanwhile.

#include <signal.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/control/fake_control_service.h"
#include "manager/control/socket_directory.h"
#include "tools/instarctl/running_instarctl.h"

namespace instar {
namespace instarctl {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using WaitingTest = InstarctlTest;

TEST_F(WaitingTest, WhatBlocksAnUpdateIsShownOnce) {
  StartServer();
  SetWaiting("the first reason");
  Running running = StartInstarctl({"load", "/m.so"});
  FakeControlService::Call call = service_.Next();
  running.out.WaitFor("the first reason");
  SetWaiting("the second reason");
  running.out.WaitFor("the second reason");
  call.done_update(SampleUpdate());
  const Finished finished = Finish(running);
  EXPECT_EQ(finished.code, 0);
  const std::vector<std::string> lines =
      absl::StrSplit(finished.out, '\n', absl::SkipEmpty());
  EXPECT_THAT(
      lines,
      ElementsAre("show_ratings waits for a safe moment",
                  AllOf(HasSubstr("socket"), HasSubstr("DoCommand"),
                        HasSubstr("frame 2"), HasSubstr("the first reason")),
                  HasSubstr("what would help: the thread leaves it"),
                  HasSubstr("converted 20 % of 160 objects"),
                  HasSubstr("the second reason"), "ratings is applied",
                  HasSubstr("held"), HasSubstr("took"),
                  HasSubstr("converted 160 objects"),
                  HasSubstr("is not registered")));
}

TEST_F(WaitingTest, ATerminalIsRedrawnInColours) {
  StartServer();
  SetWaiting("the first reason");
  Running running = StartInstarctl({"load", "/m.so"}, /*on_terminal=*/true);
  FakeControlService::Call call = service_.Next();
  running.out.WaitFor("the first reason");
  running.out.WaitFor("A\r\x1b[J");  // up, and away with it
  running.out.WaitFor("[#######");
  call.done_update(SampleUpdate());
  const Finished finished = Finish(running);
  EXPECT_EQ(finished.code, 0);
  EXPECT_THAT(finished.out, HasSubstr("\x1b[32mratings is applied\x1b[0m"));
}

TEST_F(WaitingTest, CtrlCCancelsAndWaitsForTheOutcome) {
  StartServer();
  SetWaiting("a reason");
  for (const bool is_cancelled : {true, false}) {
    Running running = StartInstarctl({"load", "/m.so"});
    FakeControlService::Call call = service_.Next();
    running.out.WaitFor("a reason");
    kill(running.pid, SIGINT);
    service_.WaitForCancel();
    EXPECT_EQ(service_.cancelled().front(), "show_ratings");
    running.out.WaitFor("cancelling ...");
    // It may have been too late.
    is_cancelled ? call.done_update(absl::CancelledError("cancelled"))
                 : call.done_update(SampleUpdate());
    EXPECT_EQ(Finish(running).code, is_cancelled ? 5 : 0);
  }
}

// An update that waits for its turn has no name yet.
TEST_F(WaitingTest, CtrlCDoesNotCancelWhatOthersWaitFor) {
  StartServer();
  SetWaiting("a reason");
  StatusReport status = service_.Status();
  const std::string name = status.pending[0].update;
  status.pending[0].update = "";
  service_.set_status(status);
  Running running = StartInstarctl({"load", "/m.so"});
  FakeControlService::Call call = service_.Next();
  running.out.WaitFor("a reason");
  kill(running.pid, SIGINT);
  running.out.WaitFor("cancelling as soon as it is its turn ...");
  EXPECT_THAT(service_.cancelled(), IsEmpty());
  status.pending[0].update = name;
  service_.set_status(status);
  service_.WaitForCancel();
  EXPECT_THAT(service_.cancelled(), ElementsAre(name));
  call.done_update(absl::CancelledError("cancelled"));
  EXPECT_EQ(Finish(running).code, 5);
}

TEST_F(WaitingTest, ASecondCtrlCLeaves) {
  StartServer();
  SetWaiting("a reason");
  service_.set_cancel_result(absl::NotFoundError("it takes effect"));
  Running running = StartInstarctl({"load", "/m.so"});
  FakeControlService::Call call = service_.Next();
  running.out.WaitFor("a reason");
  kill(running.pid, SIGINT);
  running.out.WaitFor("it cannot be cancelled any more: it takes effect");
  kill(running.pid, SIGINT);
  const Finished finished = Finish(running);
  EXPECT_EQ(finished.code, 1);
  EXPECT_THAT(finished.err, HasSubstr("the update goes on without us"));
  call.done_update(SampleUpdate());
}

// As one with no descriptor left: clients connect, and are never accepted.
class UnansweredTest : public WaitingTest {
 protected:
  UnansweredTest() {
    auto socket = ProgramSocket::Listen("shop");
    EXPECT_TRUE(socket.ok()) << socket.status();
    if (socket.ok()) socket_.emplace(*std::move(socket));
  }

  std::optional<ProgramSocket> socket_;
};

TEST_F(UnansweredTest, TheTimeLimitHolds) {
  const Finished finished = RunInstarctl({"load", "--timeout", "0.1", "/m.so"});
  EXPECT_EQ(finished.code, 3);
  EXPECT_THAT(finished.err, HasSubstr("the program has not answered for 5 s"));
}

TEST_F(UnansweredTest, ASignalIsEnough) {
  Running running = StartInstarctl({"undo", "--timeout", "600"});
  running.out.WaitFor("the program does not answer");
  kill(running.pid, SIGTERM);
  const Finished finished = Finish(running);
  EXPECT_EQ(finished.code, 3);
  EXPECT_THAT(finished.err, HasSubstr("it may still do what was asked for"));
}

TEST_F(WaitingTest, TheProgramEndsMeanwhile) {
  StartServer();
  SetWaiting("a reason");
  Running running = StartInstarctl({"load", "/m.so"});
  FakeControlService::Call call = service_.Next();
  running.out.WaitFor("a reason");
  server_.reset();
  const Finished finished = Finish(running);
  EXPECT_EQ(finished.code, 3);
  EXPECT_THAT(finished.err, HasSubstr("the program has ended"));
  call.done_update(absl::CancelledError("the program ends"));
}

}  // namespace
}  // namespace instarctl
}  // namespace instar
