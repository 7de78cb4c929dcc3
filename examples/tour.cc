// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The whole story of the site manager, played by itself: the program runs,
// takes its two updates while clients use it, and gives them back. Every answer
// is checked.
//
//   tools/bazelw run //examples:tour
//
// Exit code 1, with what went wrong, if anything did.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "examples/client_load.h"
#include "examples/example_program.h"
#include "manager/control/control_client.h"
#include "manager/control/control_service.h"

namespace site_manager {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kClients = 10;
constexpr int kStock = 1000000;

// Where the file really is, with a slash at the end.
std::string FolderOf(const std::string& path) {
  return std::filesystem::canonical(path).parent_path().string() + "/";
}

class Tour {
 public:
  int Play();

 private:
  void Chapter(const std::string& text) const;
  void Say(const std::string& text) const {
    std::printf("  %s\n", text.c_str());
  }
  void Check(bool right, const std::string& what);

  // Each says what it does and what comes of it, and checks it.
  void Ask(const std::string& command, absl::string_view expected);
  void Display(absl::string_view expected);
  void Update(const std::vector<std::string>& words);
  void Summary(const LoadReport& report, Clock::duration took);

  ExampleProgram program_{{absl::StrCat("--stock=", kStock), "--period=0.05"}};
  const bool is_terminal_ = isatty(STDOUT_FILENO) != 0;
  // Folders of modules and of the program that are not worth reading.
  const std::map<std::string, std::string> shortened_ = {
      {ModulePath("x").substr(0, ModulePath("x").rfind('/') + 1), ""},
      {FolderOf("examples/site_manager"), ""},
      {FolderOf("examples/add_ratings.so"), ""}};
  int wrong_ = 0;
};

std::string Milliseconds(std::chrono::nanoseconds duration) {
  return absl::StrFormat(
      "%.1f ms", std::chrono::duration<double, std::milli>(duration).count());
}

void Tour::Chapter(const std::string& text) const {
  std::printf("\n%s%s%s\n", is_terminal_ ? "\033[1m" : "", text.c_str(),
              is_terminal_ ? "\033[0m" : "");
  std::fflush(stdout);
}

void Tour::Check(bool right, const std::string& what) {
  if (right) return;
  ++wrong_;
  Say("WRONG: " + what);
}

void Tour::Ask(const std::string& command, absl::string_view expected) {
  const std::string answer = program_.Ask(command);
  Say(absl::StrCat("client:  ", command));
  Say(absl::StrCat("program: ", answer));
  Check(absl::StartsWith(answer, expected),
        absl::StrCat("expected \"", expected, "...\""));
}

void Tour::Display(absl::string_view expected) {
  const std::string line =
      program_.AwaitDisplay("Brest").value_or("[the program has ended]");
  Say("display: " + line);
  Check(absl::StartsWith(line, expected),
        absl::StrCat("expected \"", expected, "...\""));
}

void Tour::Update(const std::vector<std::string>& words) {
  std::string shown = "$ instarctl";
  for (const std::string& word : words) {
    absl::StrAppend(&shown, " ", word.substr(word.rfind('/') + 1));
  }
  Say(shown);
  std::fflush(stdout);
  const Finished finished = program_.Instarctl(words);
  for (const std::string& line : finished.output) {
    Say("  " + absl::StrReplaceAll(line, shortened_));
  }
  Check(finished.code == 0, absl::StrCat("exit code ", finished.code));
}

void Tour::Summary(const LoadReport& report, Clock::duration took) {
  const auto journal = program_.Control().Log();
  Chapter("What happened");
  std::size_t orders = 0;
  for (const auto& [product, count] : report.ordered) orders += count;
  Say(absl::StrCat(kClients, " clients sent ", report.sent, " commands over ",
                   "connections that stayed open, and got ", report.answered,
                   " answers."));
  Say(absl::StrCat(orders, " orders; ", report.rated, " ratings taken, ",
                   report.refused_ratings,
                   " refused by the versions without ratings."));
  Say(absl::StrCat("The longest answer took ", Milliseconds(report.longest),
                   "."));
  Say("The program says of its updates:");
  if (journal.ok()) {
    for (const instar::JournalEntry& entry : journal->entries) {
      if (entry.update.empty()) continue;
      Say(absl::StrCat("  ", entry.event, " ", entry.update, ": ",
                       entry.detail));
    }
  }
  Check(journal.ok(),
        absl::StrCat("no journal: ", journal.status().ToString()));
  for (const std::string& error : report.errors) Check(false, error);
  Check(report.answered == report.sent, "an answer is missing");
  Check(report.rated > 0 && report.refused_ratings > 0,
        "the clients have not met both versions");
  // There and back.
  Check(report.fewest_changes == 2,
        absl::StrCat("answers came from a mixture of versions: ",
                     report.fewest_changes, " changes"));
  Say(absl::StrFormat("The tour took %.1f seconds.",
                      std::chrono::duration<double>(took).count()));
}

int Tour::Play() {
  const Clock::time_point begin = Clock::now();
  Chapter("The site manager runs");
  Say(absl::StrCat("process ", program_.process().pid(), ", commands at port ",
                   program_.port()));
  Ask("order 2 chair Brest", "ordered 2 chair, ");
  Ask("rate 4 chair Brest", "unknown command");
  Display("Brest: chair ");
  ClientLoad load(program_.port(), kClients);
  load.AwaitAnswers(5);
  Say(absl::StrCat("From now on ", kClients,
                   " clients order and rate without a pause."));

  Chapter("The first update: products and sites get marks");
  Say("Products are converted when they are used next, sites at once;");
  Say("DoCommand() is redefined; all of it at one moment. What it would do:");
  Update({"check", ModulePath("add_ratings")});
  Update({"load", ModulePath("add_ratings")});
  Ask("rate 4 chair Brest", "rated: chair has ");
  Ask("rate 4 chair Paris", "no such site");
  Display("Brest: chair ");
  load.AwaitAnswers(5);

  Chapter("The second update: the display shows them");
  Say("The thread that displays is rebooted into another function.");
  Update({"load", ModulePath("show_ratings")});
  Display("Brest, mark ");
  Update({"status"});
  load.AwaitAnswers(5);

  Chapter("Both are taken back");
  Say("The marks are lost with the classes that had a place for them.");
  Update({"undo"});
  Display("Brest: chair ");
  Update({"undo"});
  Ask("rate 4 chair Brest", "unknown command");
  Ask("order 1 chair Brest", "ordered 1 chair, ");
  load.AwaitAnswers(5);

  Summary(load.Stop(), Clock::now() - begin);
  Check(program_.End() == 0, "the program ended with an error");
  Chapter(wrong_ == 0 ? "Every answer was right."
                      : absl::StrCat(wrong_, " things went wrong."));
  return wrong_ == 0 ? 0 : 1;
}

}  // namespace
}  // namespace site_manager

int main() {
  std::printf(
      "A program takes two updates while it serves clients, and gives them "
      "back.\n");
  return site_manager::Tour().Play();
}
