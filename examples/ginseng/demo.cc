// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The key-value server takes its update in three ways, and gives it back, while
// clients of memcached use it.
//
//   tools/bazelw run //examples/ginseng:demo
//
// With --transcript figures, which are others each time, are left out. Exit
// code 1, with what went wrong, if anything did.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "examples/example_program.h"
#include "examples/ginseng/load.h"
#include "examples/ginseng/tools.h"
#include "examples/servers/running_server.h"
#include "manager/control/control_client.h"
#include "manager/control/control_service.h"

namespace ginseng {
namespace {

using servers::RunningServer;

constexpr const char* kProgram = "examples/ginseng/cache_server";
constexpr int kEntries = 20000;
// Seconds since 1970: long ago. Any smaller number would be one from now on.
constexpr const char* kLongAgo = "--expire=2592001";

class Demo {
 public:
  explicit Demo(bool is_transcript) : is_transcript_(is_transcript) {}
  int Play();

 private:
  void Say(const std::string& text) const {
    std::printf("%s\n", text.c_str());
    std::fflush(stdout);
  }
  void Figure(const std::string& text) const {
    if (!is_transcript_) Say(absl::StrCat("(", text, ")"));
  }
  void Check(bool right, const std::string& what) {
    if (right) return;
    ++wrong_;
    Say("WRONG: " + what);
  }

  // One of memcached's clients, and what is expected of it.
  void Tool(const std::string& tool, std::vector<std::string> arguments,
            absl::string_view expected);
  void CheckCapable(const std::string& command, Memccapable& capable);
  void AskOldVersion();
  void AskNewVersion();

  // Both servers are asked and updated; the first one's figures are told.
  void Rehearse(const std::string& module);
  void Update(const std::string& module);
  void Undo(const std::string& module);
  void Tell(const std::string& what,
            const absl::StatusOr<instar::UpdateReport>& report);
  void TellConverted();
  void PlayUpdate(const std::string& module, Load& load, MemcslapLoad& slap);

  const bool is_transcript_;
  int wrong_ = 0;
  site_manager::TemporaryDirectory files_;
  RunningServer server_{kProgram, {}};
  RunningServer second_{kProgram, {}};  // is emptied again and again
};

void Demo::Tool(const std::string& tool, std::vector<std::string> arguments,
                absl::string_view expected) {
  std::string command = tool;
  for (const std::string& argument : arguments) command += " " + argument;
  // memccp names the entry as the file is named.
  if (tool == "memccp") {
    arguments.back() = absl::StrCat(files_.path(), "/", arguments.back());
  }
  const auto finished = RunTool(tool, server_, arguments);
  std::string result = finished.code == 0 ? "done" : "refused";
  if (tool == "memccat") {
    result = finished.code == 0 ? finished.output.front() : "nothing";
  } else if (tool == "memcstat" && finished.code == 0) {
    result = absl::StrCat(finished.output.size() - 1, " lines");
    for (const std::string& line : finished.output) Figure(line);
  }
  Say(absl::StrCat("> ", command, ": ", result));
  Check(result == expected, absl::StrCat("expected ", expected, "; it said ",
                                         absl::StrJoin(finished.output, "\n")));
}

void Demo::CheckCapable(const std::string& command, Memccapable& capable) {
  const std::string said = capable.Wait();
  Say(absl::StrCat("> ", command, ": ", said));
  Check(said == "27 tests, all passed", "not all passed");
}

void Demo::AskOldVersion() {
  Tool("memccp", {kLongAgo, "colour"}, "done");
  Tool("memccat", {"colour"}, "red");  // nobody heeds it
  Tool("memctouch", {"--expire=100", "colour"}, "refused");
  Tool("memcstat", {"reads"}, "refused");
}

void Demo::AskNewVersion() {
  Tool("memccat", {"colour"}, "red");  // of before: it does not expire
  Tool("memctouch", {"--expire=100", "colour"}, "done");
  Tool("memccat", {"colour"}, "red");
  Tool("memctouch", {kLongAgo, "colour"}, "done");
  Tool("memccat", {"colour"}, "nothing");
  Tool("memccp", {kLongAgo, "colour"}, "done");
  Tool("memccat", {"colour"}, "nothing");
  Tool("memcstat", {"reads"}, "10 lines");
}

void Demo::Tell(const std::string& what,
                const absl::StatusOr<instar::UpdateReport>& report) {
  Say(absl::StrCat("# ", what, ": ", report.ok() ? "done" : "failed"));
  Check(report.ok(), report.status().ToString());
  if (!report.ok()) return;
  const auto text = [](std::chrono::nanoseconds duration) {
    return absl::FormatDuration(
        absl::Trunc(absl::FromChrono(duration), absl::Microseconds(100)));
  };
  Figure(absl::StrCat("held ", report->hold_times.threads,
                      " threads for at most ", text(report->hold_times.maximum),
                      "; took ", text(report->elapsed), ": preparing ",
                      text(report->loading + report->preparing), ", applying ",
                      text(report->applying), " (", report->attempts,
                      report->attempts == 1 ? " attempt)" : " attempts)"));
}

void Demo::TellConverted() {
  const auto status = server_.Control().Status();
  Check(status.ok(), status.status().ToString());
  if (!status.ok()) return;
  for (const instar::ObjectCounts& counts : status->classes) {
    Figure(absl::StrCat(counts.OfVersion("ginseng::CountedEntry"), " of ",
                        counts.Total(), " entries are of the next version"));
  }
}

// The servers have read their symbols then.
void Demo::Rehearse(const std::string& module) {
  const auto report = server_.Control().Check(server_.ModulePath(module));
  Say(absl::StrCat("# check ", module, ": ", report.ok() ? "done" : "failed"));
  Check(report.ok(), report.status().ToString());
  if (!report.ok()) return;
  for (const std::string& step : report->forecast.steps) {
    Figure("would " + step);
  }
  const auto second = second_.Control().Check(second_.ModulePath(module));
  Check(second.ok(), second.status().ToString());
}

void Demo::Update(const std::string& module) {
  Tell("load " + module, server_.Control().Load(server_.ModulePath(module)));
  TellConverted();
  const auto second = second_.Control().Load(second_.ModulePath(module));
  Check(second.ok(), second.status().ToString());
}

void Demo::Undo(const std::string& module) {
  Tell("undo " + module, server_.Control().Undo());
  const auto second = second_.Control().Undo();
  Check(second.ok(), second.status().ToString());
}

void Demo::PlayUpdate(const std::string& module, Load& load,
                      MemcslapLoad& slap) {
  Memccapable capable(second_);
  AskOldVersion();
  capable.AwaitTest("ascii get");
  Update(module);
  load.AwaitAnswers(100);
  slap.AwaitRounds(1);
  AskNewVersion();
  capable.AwaitTest("ascii incr");
  Undo(module);
  load.AwaitAnswers(100);
  slap.AwaitRounds(1);
  CheckCapable("memccapable -a, begun before the update", capable);
}

int Demo::Play() {
  std::ofstream(files_.path() + "/colour") << "red";
  Say("A server that keeps values by their keys, for clients of memcached");
  Memccapable capable(server_);
  CheckCapable("memccapable -a", capable);
  Tool("memcstat", {}, "8 lines");
  Rehearse("expire_lazily");

  LoadOptions options;
  options.entries = kEntries;
  options.interval = std::chrono::milliseconds(1);
  Load load(server_.port(), options);
  MemcslapLoad slap(server_);
  load.AwaitAnswers(100);
  slap.AwaitRounds(1);
  Say(absl::StrCat("\nFour clients and memcslap use ", kEntries,
                   " entries: each is converted at its next use"));
  PlayUpdate("expire_lazily", load, slap);
  Say("\nAll are converted at one moment");
  PlayUpdate("expire_eagerly", load, slap);
  Say("\nAnd in the background, or at their next use before");
  PlayUpdate("expire_progressively", load, slap);

  Say("\nWhat the clients say");
  const MemcslapLoad::Report slapped = slap.Stop();
  Say("memcslap: " +
      (slapped.wrong.empty() ? "nothing failed" : slapped.wrong));
  Check(slapped.wrong.empty(), "a request of memcslap failed");
  const LoadReport report = load.Stop();
  Say(absl::StrCat("four clients: ", report.wrong, " answers lost or wrong"));
  Check(report.wrong == 0, report.first_wrong);
  std::chrono::nanoseconds longest{};
  for (const Answered& answered : report.answers) {
    longest = std::max(longest, answered.latency);
  }
  Figure(absl::StrCat(report.answers.size(), " answers, the longest took ",
                      absl::FormatDuration(absl::FromChrono(longest)), "; ",
                      slapped.rounds, " rounds of memcslap"));
  Check(server_.End() == 0 && second_.End() == 0,
        "a server ended with an error");
  Say(wrong_ == 0 ? "\nAll of it was right."
                  : absl::StrCat("\n", wrong_, " things went wrong."));
  return wrong_ == 0 ? 0 : 1;
}

}  // namespace
}  // namespace ginseng

int main(int argc, char** argv) {
  const bool is_transcript =
      argc == 2 && absl::string_view(argv[1]) == "--transcript";
  if (argc > 1 && !is_transcript) {
    std::fprintf(stderr, "demo: the one flag is --transcript\n");
    return 1;
  }
  return ginseng::Demo(is_transcript).Play();
}
