// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The program itself, against a service that answers as the test says.

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/control/control_server.h"
#include "manager/control/fake_control_service.h"
#include "manager/control/report_json.h"
#include "manager/internal/journal.h"
#include "tools/instarctl/running_instarctl.h"

namespace instar {
namespace instarctl {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

TEST_F(InstarctlTest, WithoutAProgram) {
  Finished ps = RunInstarctl({"ps"});
  EXPECT_EQ(ps.code, 0);
  EXPECT_THAT(ps.out, HasSubstr("no program that can be updated"));
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"status"},
        {"load", "/m.so"},
        {"check", "/m.so"},
        {"undo"},
        {"cancel"},
        {"log"}}) {
    const Finished finished = RunInstarctl(arguments);
    EXPECT_EQ(finished.code, 3) << arguments[0];
    EXPECT_THAT(finished.out, IsEmpty());
    EXPECT_THAT(finished.err, StartsWith("instarctl: no program that can"));
  }
}

TEST_F(InstarctlTest, WrongUsage) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{},
        {"dance"},
        {"load"},
        {"load", "a", "b"},
        {"load", "a", "--timeout", "-1"},
        {"load", "a", "--timeout", "soon"},
        {"load", "a", "--watch"},
        {"load", "a", "--health", "true"},
        {"load", "a", "--max-errors", "5%"},
        {"status", "--jsn"}}) {
    const Finished finished = RunInstarctl(arguments);
    EXPECT_EQ(finished.code, 2);
    EXPECT_THAT(finished.out, IsEmpty());
    EXPECT_THAT(finished.err, HasSubstr("--help"));
  }
}

TEST_F(InstarctlTest, WrongValues) {
  StartServer();
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"load", "a", "--watch", "soon"},
        {"load", "a", "--watch", "0s"},
        {"load", "a", "--watch", "1s", "--max-errors", "many"},
        {"load", "a", "--watch", "1s", "--json"},
        {"load", "a", "--all", "--json"},
        {"--pid", "1", "status", "--all"},
        {"--pid", "1", "ps"},
        {"--pid", "1", "enable", "a"},
        {"--pid", "1", "disable", "a"},
        {"--pid", "1", "list"},
        {"--pid", "1", "bundle", "-o", "a", "b"},
        {"load", "a", "--using", "libshop.so.1", "--json"},
        {"load", "a", "--using", "libshop.so.1", "--all"},
        {"-p", "shop", "load", "a", "--using", "libshop.so.1"},
        {"undo", "--all", "--json"}}) {
    const Finished finished = RunInstarctl(arguments);
    EXPECT_EQ(finished.code, 2) << arguments.back();
    EXPECT_THAT(finished.out, IsEmpty());
    EXPECT_THAT(finished.err, StartsWith("instarctl: "));
  }
}

TEST_F(InstarctlTest, Help) {
  const Finished finished = RunInstarctl({"--help"});
  EXPECT_EQ(finished.code, 0);
  EXPECT_THAT(finished.out,
              AllOf(HasSubstr("instarctl load add_ratings.so"),
                    HasSubstr("Exit codes:"), HasSubstr("cancelled")));
  for (const char* command :
       {"ps", "check", "load", "status", "cancel", "undo", "log"}) {
    const Finished help = RunInstarctl({command, "--help"});
    EXPECT_EQ(help.code, 0);
    EXPECT_THAT(help.out,
                HasSubstr(absl::StrCat("Example:\n  instarctl ", command)));
  }
}

TEST_F(InstarctlTest, Ps) {
  StartServer();
  const Finished finished = RunInstarctl({"ps"});
  EXPECT_EQ(finished.code, 0);
  EXPECT_THAT(finished.out,
              AllOf(StartsWith("PROGRAM"), HasSubstr(absl::StrCat(getpid())),
                    HasSubstr("ratings, show_ratings (undo pending)")));
}

TEST_F(InstarctlTest, PsOfOneProgram) {
  StartServer();
  for (const std::string& name :
       {std::string("shop"), absl::StrCat(getpid())}) {
    const Finished one = RunInstarctl({"ps", "-p", name});
    EXPECT_EQ(one.code, 0) << one.err;
    EXPECT_THAT(one.out, HasSubstr(absl::StrCat(" ", getpid(), " ")));
  }
  const Finished none = RunInstarctl({"ps", "-p", "nobody"});
  EXPECT_EQ(none.code, 3);
  EXPECT_THAT(none.out, IsEmpty());
  EXPECT_THAT(none.err, StartsWith("instarctl: no program \"nobody\""));
}

TEST_F(InstarctlTest, PsForPrograms) {
  const Finished none = RunInstarctl({"ps", "--json"});
  EXPECT_EQ(none.code, 0);
  EXPECT_THAT(none.out, HasSubstr("\"processes\": []"));
  StartServer();
  const Finished finished = RunInstarctl({"ps", "--json"});
  EXPECT_EQ(finished.code, 0);
  EXPECT_THAT(finished.out,
              AllOf(HasSubstr(absl::StrCat("\"pid\": ", getpid())),
                    HasSubstr("\"ratings\""), HasSubstr("0123456789abcdef")));
}

TEST_F(InstarctlTest, Status) {
  StartServer();
  const Finished text = RunInstarctl({"status"});
  EXPECT_EQ(text.code, 0);
  EXPECT_THAT(text.out,
              AllOf(HasSubstr("40 ProductV2"), HasSubstr("socket"),
                    HasSubstr("2023-11-14 22:14:20"), Not(HasSubstr("\x1b"))));
  const Finished json = RunInstarctl({"status", "--json"});
  EXPECT_EQ(json.code, 0);
  EXPECT_EQ(json.out, ToJson(SampleStatus(), 2) + "\n");
}

TEST_F(InstarctlTest, StatusIsWatchedUntilTheProgramEnds) {
  StartServer();
  Running running = StartInstarctl({"status", "--watch"});
  running.out.WaitFor("Objects");
  server_.reset();
  const Finished finished = Finish(running);
  EXPECT_EQ(finished.code, 3);
  EXPECT_THAT(finished.err, HasSubstr("the program has ended"));
}

TEST_F(InstarctlTest, StatusIsWatchedUntilCtrlC) {
  StartServer();
  Running running = StartInstarctl({"status", "--watch", "--json"});
  running.out.WaitFor("\n");
  kill(running.pid, SIGINT);
  const Finished finished = Finish(running);
  EXPECT_EQ(finished.code, 0);
  EXPECT_EQ(finished.out, ToJson(SampleStatus()) + "\n");
}

TEST_F(InstarctlTest, Log) {
  StartServer();
  const Finished text = RunInstarctl({"log", "-n", "2"});
  EXPECT_EQ(text.code, 0);
  EXPECT_THAT(text.out, AllOf(HasSubstr("1 older entries"),
                              HasSubstr("a symbol is missing")));
  const Finished json = RunInstarctl({"log", "--json"});
  EXPECT_EQ(json.out, ToJson(JournalReport{SampleJournal(), 0}, 2) + "\n");
  service_.set_journal(absl::DataLossError("the journal is damaged"));
  EXPECT_EQ(RunInstarctl({"log"}).code, 1);
}

// Of one that has ended: from its file.
TEST_F(InstarctlTest, LogOfAProgramThatHasEnded) {
  const Finished none = RunInstarctl({"log", "-p", "bakery"});
  EXPECT_EQ(none.code, 3);
  EXPECT_THAT(none.err, HasSubstr("none has left a journal"));
  {
    Journal journal(directory_ + "/bakery.journal");
    journal.Add("started");
    journal.Add("applied", "ratings", "no thread held");
  }
  for (const std::vector<std::string>& program :
       {std::vector<std::string>{},
        {"-p", "bakery"},
        {"-p", absl::StrCat(getpid())}}) {
    std::vector<std::string> arguments = {"log", "-n", "1"};
    arguments.insert(arguments.end(), program.begin(), program.end());
    const Finished log = RunInstarctl(std::move(arguments));
    EXPECT_EQ(log.code, 0) << log.err;
    EXPECT_THAT(log.out, AllOf(HasSubstr("1 older entries"),
                               HasSubstr("applied  ratings: no thread held")));
    EXPECT_EQ(log.err, "bakery is not running; its journal says:\n");
  }
}

TEST_F(InstarctlTest, Cancel) {
  StartServer();
  const Finished finished = RunInstarctl({"cancel", "ratings"});
  EXPECT_EQ(finished.code, 0);
  EXPECT_EQ(finished.out, "ratings is cancelled\n");
  EXPECT_THAT(service_.cancelled(), ElementsAre("ratings"));
  service_.set_cancel_result(absl::NotFoundError("nothing is pending"));
  const Finished refused = RunInstarctl({"cancel"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_EQ(refused.err, "instarctl: nothing is pending\n");
}

TEST_F(InstarctlTest, Check) {
  StartServer();
  Running running = StartInstarctl({"check", "/m.so"});
  FakeControlService::Call call = service_.Next();
  EXPECT_EQ(call.command, "check");
  call.done_check(SampleCheck());
  const Finished finished = Finish(running);
  EXPECT_EQ(finished.code, 0);
  EXPECT_THAT(finished.out, HasSubstr("  2. convert Product lazily\n"));
  Running refused = StartInstarctl({"check", "/m.so"});
  service_.Next().done_check(absl::InvalidArgumentError("it is no module"));
  EXPECT_EQ(Finish(refused).code, 1);
}

TEST_F(InstarctlTest, LoadSaysHowLongThreadsWereHeld) {
  StartServer();
  const Finished finished =
      Load(SampleUpdate(), {"load", "/m.so", "--timeout", "2.5"});
  EXPECT_EQ(call_.command, "load");
  EXPECT_EQ(call_.argument, "/m.so");
  EXPECT_EQ(call_.timeout, std::chrono::milliseconds(2500));
  EXPECT_EQ(finished.code, 0) << finished.err;
  EXPECT_THAT(finished.out,
              AllOf(StartsWith("ratings is applied\n"),
                    HasSubstr("held 2 threads (1 at update points, 1 by "
                              "signal): median 85 us, at most 120 us\n"),
                    HasSubstr("converted 160 objects\n")));
}

TEST_F(InstarctlTest, LoadForPrograms) {
  StartServer();
  for (const char* const command : {"load", "undo"}) {
    const Finished finished =
        Load(SampleUpdate(), {command, "/m.so", "--json"});
    EXPECT_EQ(finished.code, 0) << finished.err;
    EXPECT_EQ(finished.out, ToJson(SampleUpdate(), 2) + "\n");
  }
}

TEST_F(InstarctlTest, Undo) {
  StartServer();
  const Finished finished = Load(SampleUpdate(), {"undo", "ratings"});
  EXPECT_EQ(call_.command, "undo");
  EXPECT_EQ(call_.argument, "ratings");
  EXPECT_EQ(call_.timeout, std::chrono::seconds(30));
  EXPECT_EQ(finished.code, 0) << finished.err;
  EXPECT_THAT(finished.out, StartsWith("ratings is taken back\n"));
}

TEST_F(InstarctlTest, Unload) {
  StartServer();
  Finished finished = RunInstarctl({"unload", "marks"});
  EXPECT_EQ(finished.code, 1);
  EXPECT_EQ(finished.out,
            "marks is unloaded\n"
            "marks.0123456700000002.so is kept, because something leads to "
            "shop::Mark(): the heap, at 0x1000\n");
  finished = RunInstarctl({"unload", "marks", "--json"});
  EXPECT_EQ(finished.code, 1);
  EXPECT_THAT(finished.out, HasSubstr("\"unloaded\": 1"));
  finished = RunInstarctl({"unload", "other"});
  EXPECT_EQ(finished.code, 1);
  EXPECT_THAT(finished.err, HasSubstr("no module of it is loaded"));
  EXPECT_EQ(RunInstarctl({"unload"}).code, 2);
}

TEST_F(InstarctlTest, ExitCodesTellHowItEnded) {
  StartServer();
  const std::pair<absl::Status, int> cases[] = {
      {absl::InvalidArgumentError("it is no module"), 1},
      {absl::NotFoundError("no such file"), 1},
      {absl::UnavailableError("said by the program"), 1},
      {absl::DeadlineExceededError("socket was in DoCommand"), 4},
      {absl::CancelledError("by somebody"), 5}};
  for (const auto& [error, code] : cases) {
    const Finished finished = Load(error);
    EXPECT_EQ(finished.code, code) << error;
    EXPECT_THAT(finished.out, IsEmpty());
    EXPECT_EQ(finished.err, absl::StrCat("instarctl: ", error.message(), "\n"));
  }
}

TEST_F(InstarctlTest, RelativePathsAreThoseOfTheUser) {
  StartServer();
  setenv("BUILD_WORKING_DIRECTORY", "/home/me", 1);
  Load(SampleUpdate(), {"load", "x/m.so"});
  EXPECT_EQ(call_.argument, "/home/me/x/m.so");
}

TEST_F(InstarctlTest, OneOfSeveralPrograms) {
  StartServer();
  FakeControlService other_service;
  StatusReport other_status;
  other_status.program.name = "bakery";
  other_service.set_status(other_status);
  auto other = ControlServer::Start(other_service, "bakery");
  ASSERT_TRUE(other.ok()) << other.status();
  const Finished finished = RunInstarctl({"status"});
  EXPECT_EQ(finished.code, 3);
  EXPECT_THAT(finished.err,
              AllOf(HasSubstr(absl::StrCat("bakery (", getpid(), ")")),
                    HasSubstr("shop ("), HasSubstr("--program NAME")));
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"-p", "bakery", "status"},
        {"status", "--program", "bakery"}}) {
    const Finished chosen = RunInstarctl(arguments);
    EXPECT_EQ(chosen.code, 0) << chosen.err;
    EXPECT_THAT(chosen.out, StartsWith("bakery, process"));
  }
}

TEST_F(InstarctlTest, AFolderThatOthersMayEnterIsRefused) {
  StartServer();
  ASSERT_EQ(std::system(absl::StrCat("chmod 0755 ", directory_).c_str()), 0);
  const Finished finished = RunInstarctl({"ps"});
  EXPECT_EQ(finished.code, 3);
  EXPECT_THAT(finished.err, HasSubstr("chmod 0700"));
}

}  // namespace
}  // namespace instarctl
}  // namespace instar
