// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/instarctl/output.h"

#include <stdlib.h>
#include <time.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/control/fake_control_service.h"
#include "nlohmann/json.hpp"

namespace instar {
namespace instarctl {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Style kPipe{false, false};
constexpr Style kTerminal{true, false};
constexpr Style kColours{true, true};

class InstarctlOutputTest : public ::testing::Test {
 protected:
  InstarctlOutputTest() {
    setenv("TZ", "UTC", 1);
    tzset();
  }
  const SystemTime now_ = SampleProgram().started + minutes(3) + seconds(20);
};

TEST_F(InstarctlOutputTest, Status) {
  EXPECT_THAT(
      StatusLines(SampleStatus(), now_, kTerminal),
      ElementsAre(
          "shop, process 4242, up 3 min 20 s",
          "/opt/shop/shop, build 0123456789abcdef",
          "2000 requests counted, 7 errors", "", "Remarks",
          "  shop::Price runs old code: its entry was changed", "", "Threads",
          "  display  4242  active   running",
          "  socket   4243  passive  blocked  not registered: left alone", "",
          "Updates",
          "  ratings, applied 2023-11-14 22:14:20 in 210 us, held 2 threads "
          "(1 at update points, 1 by signal): median 85 us, at most 120 us",
          "    /opt/shop/add_ratings.so",
          "    objects are still being converted",
          "    cannot be undone: display was rebooted", "",
          "Undone, and still loaded",
          "  marks, marks.0123456700000002.so: kept, because something leads "
          "to "
          "shop::Mark(): the heap, at 0x1000",
          "", "Pending",
          "  undo of show_ratings waits for the update ratings: 1.6 s of 30 s, "
          "3 attempts",
          "    thread socket (4243), in shop::DoCommand(std::string const&) "
          "(frame 2), for 1.5 s: DoCommand is active",
          "      what would help: the thread leaves it when its client sends a "
          "command",
          "    [#######.......................]  25 %  40 of 160 objects", "",
          "Objects",
          "  shop::Product  120 shop::Product, 40 ProductV2; subclasses: 3 "
          "shop::Book; 1 being converted; 2 failed to convert; 4 not made by "
          "new; 3 of these on a stack; 5 not tracked"));
}

TEST_F(InstarctlOutputTest, StatusSaysWhatAnUndoLoses) {
  StatusReport status = SampleStatus();
  status.applied[0].can_undo = absl::OkStatus();
  EXPECT_THAT(
      StatusLines(status, now_, kPipe),
      testing::AllOf(Contains("    an undo loses, of convert Product: what "
                              "only ProductV2 holds"),
                     testing::Not(Contains(HasSubstr("cannot be undone")))));
}

TEST_F(InstarctlOutputTest, StatusOfAnEmptyProgram) {
  StatusReport status;
  status.program.name = "shop";
  status.program.started = now_;
  EXPECT_THAT(
      StatusLines(status, now_, kPipe),
      ElementsAre("shop, process 0, up 0 ns", ", build without an id", "",
                  "Threads: none", "", "Updates: none", "", "Objects: none"));
}

TEST_F(InstarctlOutputTest, Programs) {
  const RunningProgram shop = {"shop", 4242, "/x/shop.4242.sock"};
  const RunningProgram stopped = {"other_program", 7,
                                  "/x/other_program.7.sock"};
  StatusReport bare;
  bare.program.started = now_ - milliseconds(5300);
  EXPECT_THAT(
      ProgramLines({{shop, SampleStatus()},
                    {shop, bare},
                    {stopped, absl::DeadlineExceededError("no answer")}},
                   now_, kPipe),
      ElementsAre("PROGRAM        PID   UP          UPDATES",
                  "shop           4242  3 min 20 s  ratings, show_ratings "
                  "(undo pending)",
                  "shop           4242  5 s         none",
                  "other_program  7     ?           no answer"));
}

// 10 has forked 11 and a shell, 15, which has started 12; 12 has forked 13. 14
// is a child of 11 that is called otherwise.
TEST_F(InstarctlOutputTest, ProgramsAreATree) {
  const auto listed = [&](const char* name, pid_t pid) {
    StatusReport status;
    status.program.name = name;
    status.program.started = now_;
    if (pid == 12) status.applied.emplace_back().update = "fix";
    return ListedProgram{{name, pid, ""}, status};
  };
  std::vector<ListedProgram> programs = {listed("web", 13), listed("web", 12),
                                         listed("web", 11), listed("mail", 14),
                                         listed("web", 10)};
  programs[2].has_manager = false;
  programs[2].status = absl::UnavailableError("has no manager yet");
  const auto parent_of = [](pid_t pid) {
    return pid == 13                ? 12
           : pid == 12              ? 15
           : pid == 14              ? 11
           : pid == 11 || pid == 15 ? 10
                                    : 1;
  };
  ArrangeAsTree(parent_of, programs);
  EXPECT_THAT(
      ProgramLines(programs, now_, kPipe),
      ElementsAre("PROGRAM  PID  UP    UPDATES", "mail     14   0 ns  none",
                  "web      10   0 ns  none", "  web    12   0 ns  fix",
                  "    web  13   0 ns  none",
                  "  web    11   ?     has no manager yet"));
  const nlohmann::json tree =
      nlohmann::json::parse(ProgramsToJson(programs, {"a hint"}));
  EXPECT_EQ(tree["hints"], nlohmann::json({"a hint"}));
  ASSERT_EQ(tree["processes"].size(), 2u);
  const nlohmann::json& web = tree["processes"][1];
  EXPECT_EQ(web["pid"], 10);
  EXPECT_EQ(web["program"]["name"], "web");
  ASSERT_EQ(web["children"].size(), 2u);
  EXPECT_EQ(web["children"][0]["updates"], nlohmann::json({"fix"}));
  EXPECT_EQ(web["children"][0]["children"][0]["pid"], 13);
  EXPECT_EQ(web["children"][1]["has_manager"], false);

  // Whatever /proc says, each is there once.
  ArrangeAsTree([](pid_t pid) { return pid == 10 ? 13 : 10; }, programs);
  EXPECT_EQ(programs.size(), 5u);
}

TEST_F(InstarctlOutputTest, Waiting) {
  StatusReport status = SampleStatus();
  PendingReport& pending = status.pending[0];
  pending.waits_for = "";
  EXPECT_THAT(
      WaitingLines(status, pending, kTerminal),
      ElementsAre(
          "undo of show_ratings waits for a safe moment: 1.6 s of 30 s, 3 "
          "attempts",
          "  thread socket (4243), in shop::DoCommand(std::string const&) "
          "(frame 2), for 1.5 s: DoCommand is active",
          "    what would help: the thread leaves it when its client sends a "
          "command",
          "  [#######.......................]  25 %  40 of 160 objects",
          "  display  4242  active   running",
          "  socket   4243  passive  blocked  not registered: left alone"));

  const Lines before = WaitingLines(status, pending, kPipe);
  EXPECT_THAT(
      before,
      ElementsAre("undo of show_ratings waits for a safe moment",
                  "  thread socket (4243), in shop::DoCommand(std::string "
                  "const&) (frame 2): DoCommand is active",
                  "    what would help: the thread leaves it when its client "
                  "sends a command",
                  "  converted 20 % of 160 objects"));
  // Nothing has happened but that time went by.
  pending.elapsed += seconds(1);
  pending.progress.attempts += 10;
  pending.progress.blockers[0].since += seconds(1);
  pending.progress.objects_converted += 1;
  EXPECT_EQ(WaitingLines(status, pending, kPipe), before);
}

TEST_F(InstarctlOutputTest, EveryPhaseIsNamed) {
  StatusReport status;
  PendingReport& pending = status.pending.emplace_back();
  pending.update = "u";
  const char* const texts[] = {"u is being prepared", "u is prepared",
                               "u waits for a safe moment", "u takes effect",
                               "u is applied"};
  for (int i = 0; i < 5; ++i) {
    pending.progress.phase = static_cast<UpdatePhase>(i);
    EXPECT_THAT(WaitingLines(status, pending, kPipe), ElementsAre(texts[i]));
  }
  pending.update = "";  // not read yet
  pending.module = "/m.so";
  pending.progress.phase = UpdatePhase::kNew;
  EXPECT_THAT(WaitingLines(status, pending, kPipe),
              ElementsAre("/m.so is being prepared"));
}

TEST_F(InstarctlOutputTest, ABlockerMayBeNoThread) {
  StatusReport status;
  PendingReport& pending = status.pending.emplace_back();
  pending.update = "u";
  pending.progress.blockers.emplace_back().reason = "the debugger is attached";
  EXPECT_THAT(WaitingLines(status, pending, kTerminal),
              Contains("  the debugger is attached"));
}

TEST_F(InstarctlOutputTest, Update) {
  EXPECT_THAT(
      UpdateLines(PendingKind::kLoad, SampleUpdate(), kPipe),
      ElementsAre(
          "ratings is applied",
          "  held 2 threads (1 at update points, 1 by signal): median 85 "
          "us, at most 120 us",
          "  took 1.2 ms: queued 10 us, loading 700 us, preparing 300 "
          "us, applying 200 us (3 attempts)",
          "  converted 160 objects",
          "  thread 4245 is not registered, and is not waited for"));
  UpdateReport update;
  update.hold_times = {3, milliseconds(1), milliseconds(2), 3};
  EXPECT_EQ(UpdateLines(PendingKind::kLoad, update, kPipe)[1],
            "  held 3 threads, all by signal: median 1.0 ms, at most 2.0 ms");
  update.hold_times = {};
  update.update = "u";
  update.attempts = 1;
  EXPECT_THAT(UpdateLines(PendingKind::kUndo, update, kPipe),
              ElementsAre("u is taken back", "  no thread was held",
                          HasSubstr("(1 attempt)")));
}

TEST_F(InstarctlOutputTest, Check) {
  EXPECT_THAT(
      CheckLines(SampleCheck(), kPipe),
      ElementsAre("ratings (thread updates): 4.2 KiB of code, 20.0 KiB loaded",
                  "requires base", "would do:", "  1. redefine DoCommand",
                  "  2. convert Product lazily", "in the way at the moment:",
                  "  DoCommand is active in the thread socket",
                  "  thread socket (4243), in shop::DoCommand(std::string "
                  "const&) (frame 2), for 1.5 s: DoCommand is active",
                  "    what would help: the thread leaves it when its client "
                  "sends a command",
                  "can be undone: yes, while no other update comes after it",
                  "  loses, of convert Product: what only ProductV2 holds",
                  "remarks:", "  160 objects of Product"));
  CheckReport for_good = SampleCheck();
  for_good.forecast.can_undo = absl::FailedPreconditionError(
      "thread 'display' is rebooted, and nothing is said of its way back");
  EXPECT_THAT(
      CheckLines(for_good, kPipe),
      testing::AllOf(
          Contains("can be undone: no, because thread 'display' is rebooted, "
                   "and nothing is said of its way back"),
          testing::Not(Contains(HasSubstr("loses")))));
  CheckReport check;
  check.update = "u";
  EXPECT_THAT(CheckLines(check, kPipe),
              ElementsAre("u (plan): 0 bytes of code, 0 bytes loaded",
                          "would do nothing", "nothing is in the way"));
}

TEST_F(InstarctlOutputTest, Log) {
  EXPECT_THAT(
      LogLines({SampleJournal(), 2}, kPipe),
      ElementsAre("(2 older entries are left out)",
                  "2023-11-14 22:13:20  4242  started",
                  "2023-11-14 22:14:20  4242  applied  ratings: held 2 threads "
                  "for 120 us at most",
                  "2023-11-14 22:14:21  4242  failed  more: a symbol is "
                  "missing"));
}

TEST_F(InstarctlOutputTest, OnlyAStyleWithColoursHasThem) {
  const auto count = [this](const Style& style) {
    std::size_t codes = 0;
    for (const Lines& lines :
         {StatusLines(SampleStatus(), now_, style),
          CheckLines(SampleCheck(), style),
          LogLines({SampleJournal(), 1}, style),
          UpdateLines(PendingKind::kLoad, SampleUpdate(), style)}) {
      for (const std::string& line : lines) {
        codes += std::count(line.begin(), line.end(), '\x1b');
      }
    }
    return codes;
  };
  EXPECT_EQ(count(kPipe), 0u);
  EXPECT_EQ(count(kTerminal), 0u);
  EXPECT_GT(count(kColours), 10u);
}

TEST(FormatTest, Durations) {
  EXPECT_EQ(FormatDuration(nanoseconds(0)), "0 ns");
  EXPECT_EQ(FormatDuration(nanoseconds(999)), "999 ns");
  EXPECT_EQ(FormatDuration(nanoseconds(1'500)), "1.5 us");
  EXPECT_EQ(FormatDuration(microseconds(85)), "85 us");
  EXPECT_EQ(FormatDuration(microseconds(999)), "999 us");
  EXPECT_EQ(FormatDuration(microseconds(1'210)), "1.2 ms");
  EXPECT_EQ(FormatDuration(seconds(30)), "30 s");
  EXPECT_EQ(FormatDuration(milliseconds(1'600)), "1.6 s");
  EXPECT_EQ(FormatDuration(seconds(60)), "1 min 0 s");
  EXPECT_EQ(FormatDuration(seconds(3599)), "59 min 59 s");
  EXPECT_EQ(FormatDuration(seconds(18'000)), "5 h 0 min");
}

TEST(FormatTest, Sizes) {
  EXPECT_EQ(FormatSize(1), "1 byte");
  EXPECT_EQ(FormatSize(1023), "1023 bytes");
  EXPECT_EQ(FormatSize(1536), "1.5 KiB");
  EXPECT_EQ(FormatSize(3 << 20), "3.0 MiB");
}

TEST(FormatTest, Bars) {
  EXPECT_EQ(FormatBar(0, 1),
            "[..............................]   0 %  0 of 1 object");
  EXPECT_EQ(FormatBar(80, 80),
            "[##############################] 100 %  80 of 80 objects");
  EXPECT_EQ(FormatBar(90, 80), FormatBar(80, 80));  // made meanwhile
}

}  // namespace
}  // namespace instarctl
}  // namespace instar
