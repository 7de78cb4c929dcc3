// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The cases of the test suite of PyMoult 2, each as a program, an update and a
// transcript: lines that begin with ">" are what the program is told, those
// with "#" what is done with updates, the others what the program says.

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/child_process.h"
#include "examples/example_program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/control/control_client.h"
#include "manager/control/control_service.h"

namespace cases {
namespace {

using instar::Command;
using instar::ControlClient;
using instar::UpdateReport;
using testing::ElementsAre;

constexpr std::chrono::seconds kPatience(100);

// One program for all cases: each leaves it without updates.
class CasesTest : public testing::Test {
 protected:
  struct Running {
    site_manager::TemporaryDirectory directory;
    int input = -1;
    std::unique_ptr<site_manager::ChildProcess> process;
  };

  static void SetUpTestSuite() {
    running_ = new Running;
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const int saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    ASSERT_GE(dup2(ends[0], STDIN_FILENO), 0);
    running_->process = std::make_unique<site_manager::ChildProcess>(
        std::vector<std::string>{"examples/cases/program",
                                 running_->directory.path() + "/pipe"},
        std::vector<std::string>{"INSTAR_SOCKET_DIRECTORY=" +
                                 running_->directory.path()});
    if (saved >= 0) {
      dup2(saved, STDIN_FILENO);
      close(saved);
    }
    close(ends[0]);
    running_->input = ends[1];
    ASSERT_TRUE(running_->process->AwaitLine("ready").has_value());
  }
  static void TearDownTestSuite() {
    close(running_->input);
    EXPECT_EQ(running_->process->Wait(), 0);
    delete running_;
  }

  CasesTest() : control_(Connect()) {}
  void TearDown() override {
    while (true) {
      const auto status = control_.Status();
      ASSERT_TRUE(status.ok()) << status.status();
      if (status->applied.empty()) return;
      const auto report = control_.Undo("", kPatience);
      ASSERT_TRUE(report.ok()) << report.status();
    }
  }

  static ControlClient Connect() {
    return *ControlClient::Connect(
        absl::StrCat(running_->directory.path(), "/program.",
                     running_->process->pid(), ".sock"));
  }

  void Tell(const std::string& line) {
    transcript_.push_back("> " + line);
    const std::string text = line + "\n";
    ASSERT_EQ(write(running_->input, text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }
  // The next line that the program says.
  void Hear() {
    transcript_.push_back(
        running_->process->AwaitLine("").value_or("[the program has ended]"));
  }

  static std::string Path(const std::string& module) {
    return std::filesystem::absolute("examples/cases/" + module + ".so");
  }
  void Note(const std::string& what,
            const absl::StatusOr<UpdateReport>& report) {
    transcript_.push_back(absl::StrCat(
        "# ", what, " ",
        report.ok() ? "done"
                    : absl::StatusCodeToString(report.status().code())));
  }
  void Load(const std::string& module,
            std::chrono::nanoseconds timeout = kPatience) {
    Note("load " + module, control_.Load(Path(module), timeout));
  }
  void Undo() { Note("undo", control_.Undo("", kPatience)); }

  // As `echo "update $PWD/NAME.so" > pipe` does.
  void WriteToPipe(const std::string& command, const std::string& module) {
    transcript_.push_back("# " + command + module + " > pipe");
    std::ofstream pipe(running_->directory.path() + "/pipe");
    pipe << command << (module.empty() ? "" : Path(module)) << std::endl;
  }

  // Asked for, and received later.
  void Begin(const std::string& module) {
    instar::Request request;
    request.command = Command::kLoad;
    request.path = Path(module);
    Send(module, std::move(request));
    transcript_.push_back("# begin " + module);
  }
  void BeginUndo(const std::string& update) {
    instar::Request request;
    request.command = Command::kUndo;
    request.update = update;
    Send(update, std::move(request));
    transcript_.push_back("# begin undo " + update);
  }
  void Send(const std::string& update, instar::Request request) {
    request.timeout = kPatience;
    const absl::StatusOr<std::int64_t> id = control_.Send(request);
    ASSERT_TRUE(id.ok()) << id.status();
    begun_[update] = *id;
  }
  void End(const std::string& module) {
    const auto reply = control_.Receive(begun_[module], kPatience);
    ASSERT_TRUE(reply.ok() && reply->has_value()) << reply.status();
    Note("end " + module, (*reply)->As<UpdateReport>());
  }
  // The thread is told of what was begun a moment after it was asked for; the
  // last greeting is in the transcript.
  void GreetUntilTheEnd(const std::string& update) {
    const std::vector<std::string> before = transcript_;
    while (true) {
      transcript_ = before;
      Tell("say world");
      Hear();
      const auto reply =
          control_.Receive(begun_[update], std::chrono::milliseconds(10));
      ASSERT_TRUE(reply.ok()) << reply.status();
      if (!reply->has_value()) continue;
      return Note("end " + update, (*reply)->As<UpdateReport>());
    }
  }
  // Until the update of that name waits for something that is called so.
  void AwaitBlocked(const std::string& update, const std::string& by) {
    while (true) {
      const auto status = control_.Status();
      ASSERT_TRUE(status.ok()) << status.status();
      for (const auto& pending : status->pending) {
        if (pending.update != update) continue;
        if (absl::StrContains(pending.waits_for, by)) return;
        for (const auto& blocker : pending.progress.blockers) {
          if (absl::StrContains(blocker.reason, by)) return;
        }
      }
    }
  }
  std::size_t CountLazyItems(const std::string& version) {
    const auto status = control_.Status();
    EXPECT_TRUE(status.ok()) << status.status();
    for (const auto& counts : status->classes) {
      if (counts.class_name != "cases::LazyItem") continue;
      for (const auto& [name, count] : counts.by_version) {
        if (absl::EndsWith(name, version)) return count;
      }
    }
    return 0;
  }

  static inline Running* running_ = nullptr;
  ControlClient control_;
  std::map<std::string, std::int64_t> begun_;
  std::vector<std::string> transcript_;
};

TEST_F(CasesTest, SafeRedefinition) {
  Tell("hold");
  Hear();
  Begin("redefine_hold");
  AwaitBlocked("redefine_hold", "cases::Hold()");
  Tell("one");
  Hear();
  End("redefine_hold");
  Tell("hold");
  Hear();
  Tell("two");
  Hear();
  EXPECT_THAT(transcript_,
              ElementsAre("> hold", "old: holds", "# begin redefine_hold",
                          "> one", "old: one", "# end redefine_hold done",
                          "> hold", "new: holds", "> two", "new: two"));
}

TEST_F(CasesTest, PostponedUntilTheOneItDependsOnIsApplied) {
  Begin("dependent");
  AwaitBlocked("dependent", "base");
  Tell("say world");
  Hear();
  Load("base");
  End("dependent");
  Tell("say world");
  Hear();
  Undo();
  Tell("say world");
  Hear();
  EXPECT_THAT(transcript_,
              ElementsAre("# begin dependent", "> say world", "hello world",
                          "# load base done", "# end dependent done",
                          "> say world", "good day dear world", "# undo done",
                          "> say world", "good day world"));
}

TEST_F(CasesTest, OneThatCanNeverBeAppliedIsDroppedAndTheNextGoesOn) {
  Begin("never");
  Begin("next");
  End("next");
  End("never");
  Tell("bye");
  Hear();
  EXPECT_THAT(
      transcript_,
      ElementsAre("# begin never", "# begin next", "# end next done",
                  "# end never FAILED_PRECONDITION", "> bye", "see you"));
}

TEST_F(CasesTest, AConditionThatTimesOutAndLaterSucceeds) {
  Tell("hold");
  Hear();
  Load("redefine_hold", std::chrono::milliseconds(20));
  Tell("one");
  Hear();
  Load("redefine_hold");
  Tell("hold");
  Hear();
  Tell("two");
  Hear();
  EXPECT_THAT(transcript_,
              ElementsAre("> hold", "old: holds",
                          "# load redefine_hold DEADLINE_EXCEEDED", "> one",
                          "old: one", "# load redefine_hold done", "> hold",
                          "new: holds", "> two", "new: two"));
}

// Its thread comes to a point of this name when another update has brought one.
TEST_F(CasesTest, AStaticPointThatAnotherUpdateBrings) {
  Load("at_point", std::chrono::milliseconds(20));
  Load("add_point");
  Begin("at_point");
  AwaitBlocked("at_point", "after a greeting");
  Tell("bye");
  Hear();
  GreetUntilTheEnd("at_point");
  Tell("bye");
  Hear();
  BeginUndo("at_point");
  GreetUntilTheEnd("at_point");
  Tell("bye");
  Hear();
  EXPECT_THAT(
      transcript_,
      ElementsAre("# load at_point DEADLINE_EXCEEDED", "# load add_point done",
                  "# begin at_point", "> bye", "bye", "> say world",
                  "hello again world", "# end at_point done", "> bye",
                  "bye, and greetings", "# begin undo at_point", "> say world",
                  "hello again world", "# end at_point done", "> bye", "bye"));
}

// New calls wait at the entry, recursive ones pass, and the old ones drain.
TEST_F(CasesTest, ForcedQuiescence) {
  Tell("visit");
  Hear();
  Begin("force_visit");
  // Guests come for as long as calls do not wait yet.
  const std::vector<std::string> before = transcript_;
  do {
    transcript_ = before;
    Tell("guest");
    Hear();
    if (transcript_.back() == "old: guest comes") Hear();
  } while (transcript_.back() == "the guest has come");
  Tell("again");
  Hear();
  Tell("leave");
  Hear();
  Tell("leave");
  Hear();
  Hear();
  End("force_visit");
  Tell("visit");
  Hear();
  Tell("leave");
  Hear();
  EXPECT_THAT(
      transcript_,
      ElementsAre("> visit", "old: host comes", "# begin force_visit",
                  "> guest", "the guest waits", "> again", "old: host comes",
                  "> leave", "old: host leaves", "> leave", "old: host leaves",
                  "new: guest comes", "# end force_visit done", "> visit",
                  "new: host comes", "> leave", "new: host leaves"));
}

TEST_F(CasesTest, EagerConversion) {
  Tell("list");
  Hear();
  Load("eager");
  Tell("list");
  Hear();
  Undo();
  Tell("list");
  Hear();
  EXPECT_THAT(
      transcript_,
      ElementsAre("> list", "versions 1 1 1", "# load eager done", "> list",
                  "versions 2 2 2", "# undo done", "> list", "versions 1 1 1"));
}

TEST_F(CasesTest, LazyConversion) {
  Tell("use 0");
  Hear();
  Load("lazy");
  EXPECT_EQ(CountLazyItems("LazyItemV2"), 0u);
  Tell("use 0");
  Hear();
  EXPECT_EQ(CountLazyItems("LazyItemV2"), 1u);
  Tell("use 2");
  Hear();
  EXPECT_EQ(CountLazyItems("LazyItemV2"), 2u);
  EXPECT_THAT(transcript_,
              ElementsAre("> use 0", "version 1", "# load lazy done", "> use 0",
                          "version 2", "> use 2", "version 2"));
}

TEST_F(CasesTest, ThreadReboot) {
  Tell("say world");
  Hear();
  Load("reboot");
  Hear();
  const std::string rebooted = transcript_.back();
  Tell("say world");
  Hear();
  Hear();
  const std::string line = transcript_.back();
  Undo();
  Tell("say world");
  Hear();
  Tell("bye");
  Hear();
  EXPECT_THAT(rebooted, testing::MatchesRegex("rebooted after [0-9]+ lines"));
  EXPECT_THAT(line, testing::MatchesRegex("line [0-9]+"));
  EXPECT_THAT(
      transcript_,
      ElementsAre("> say world", "hello world", "# load reboot done", rebooted,
                  "> say world", "hello world", line, "# undo done",
                  "> say world", "hello world", "> bye", "bye"));
}

// In all activations of a recursion, and in no later one.
TEST_F(CasesTest, ALocalVariableOfAllLiveActivations) {
  Tell("talk");
  Hear();
  Load("local_variable");
  Tell("go on");
  for (int i = 0; i < 3; ++i) Hear();
  Tell("talk");
  Hear();
  Tell("go on");
  for (int i = 0; i < 3; ++i) Hear();
  EXPECT_THAT(transcript_,
              ElementsAre("> talk", "talks", "# load local_variable done",
                          "> go on", "hi 0", "hi 1", "hi 2", "> talk", "talks",
                          "> go on", "hello 0", "hello 1", "hello 2"));
}

// A listener beside the manager's own socket.
TEST_F(CasesTest, CommandsThroughANamedPipe) {
  Tell("bye");
  Hear();
  WriteToPipe("update ", "next");
  Hear();
  Tell("bye");
  Hear();
  WriteToPipe("dance", "");
  Hear();
  WriteToPipe("update ", "never");
  Hear();
  EXPECT_THAT(
      transcript_,
      ElementsAre("> bye", "bye", "# update next > pipe",
                  "pipe: next is applied", "> bye", "see you", "# dance > pipe",
                  "pipe: what is 'dance'?", "# update never > pipe",
                  "pipe: the program is too old for it"));
}

// Half of the list is filled by each version, and nothing is lost.
TEST_F(CasesTest, ARunningFunctionIsReplacedHalfWay) {
  Tell("fill");
  for (const char* const line : {"0", "1", "2"}) Tell(line);
  // The activation goes on; the next thing that it calls replaces it.
  Load("replace_filling");
  for (const char* const line : {"3", "4", "5", "6", "7"}) Tell(line);
  Hear();
  const std::string list = transcript_.back();
  int old_ones = 0;
  std::vector<std::string> expected;
  while (absl::StrContains(list, absl::StrCat("old", old_ones))) ++old_ones;
  std::string every;
  for (int i = 0; i < 8; ++i) {
    absl::StrAppend(&every, i == 0 ? "" : " ", i < old_ones ? "old" : "new", i);
  }
  EXPECT_EQ(list, every);
  // At the latest the line after the update.
  EXPECT_GE(old_ones, 1);
  EXPECT_LE(old_ones, 4);
}

}  // namespace
}  // namespace cases
