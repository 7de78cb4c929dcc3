// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/scenario/scenario.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "updates/quiescence/blocker.h"

namespace examples {
namespace {

using instar::UpdateReport;

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

std::string Milliseconds(std::chrono::nanoseconds duration) {
  return absl::StrFormat(
      "%.1f ms", std::chrono::duration<double, std::milli>(duration).count());
}

// A child reads its standard input from the answer's other end.
int StartWithInput(const std::vector<std::string>& arguments,
                   const std::string& setting,
                   std::unique_ptr<site_manager::ChildProcess>& child) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) Die("no pipe is to be had");
  const int saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
  dup2(ends[0], STDIN_FILENO);
  child = std::make_unique<site_manager::ChildProcess>(
      arguments, std::vector<std::string>{setting});
  if (saved >= 0) {
    dup2(saved, STDIN_FILENO);
    close(saved);
  }
  close(ends[0]);
  return ends[1];
}

}  // namespace

Scenario::Scenario(int argc, char** argv, const std::string& folder,
                   const std::vector<std::string>& flags)
    : folder_(folder) {
  for (int i = 1; i < argc; ++i) {
    if (absl::string_view(argv[i]) != "--transcript") {
      Die(absl::StrCat(argv[i], ": the one flag is --transcript"));
    }
    is_transcript_ = true;
  }
  std::vector<std::string> arguments = {folder + "/program"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  input_ = StartWithInput(
      arguments, "INSTAR_SOCKET_DIRECTORY=" + directory_.path(), process_);
  if (!process_->AwaitLine("ready").has_value()) {
    for (const std::string& line : process_->Output()) Say(line);
    Die(folder + "/program does not start");
  }
  auto control = instar::ControlClient::Connect(
      absl::StrCat(directory_.path(), "/program.", process_->pid(), ".sock"));
  if (!control.ok()) Die(control.status().ToString());
  control_ = *std::move(control);
}

Scenario::~Scenario() {
  if (input_ >= 0) close(input_);
}

void Scenario::Chapter(const std::string& title) { Say("\n" + title); }

void Scenario::Say(const std::string& text) {
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

void Scenario::Figure(const std::string& text) {
  if (!is_transcript_) Say(text);
}

void Scenario::Tell(const std::string& line) {
  Say("> " + line);
  Write(line);
}

void Scenario::Write(const std::string& line) {
  const std::string text = line + "\n";
  Check(write(input_, text.data(), text.size()) ==
            static_cast<ssize_t>(text.size()),
        "the program does not listen");
}

std::string Scenario::Hear() {
  figures_.clear();
  while (true) {
    const std::string line =
        process_->AwaitLine("").value_or("the program has ended");
    if (absl::StartsWith(line, "(")) {
      figures_.push_back(line);
      constexpr std::size_t kShown = 200;
      Figure(line.size() <= kShown ? line : line.substr(0, kShown) + " ...)");
      continue;
    }
    Say(line);
    return line;
  }
}

std::string Scenario::Ask(const std::string& line) {
  Write(line);
  while (true) {
    std::string answer =
        process_->AwaitLine("").value_or("the program has ended");
    if (!absl::StartsWith(answer, "(")) return answer;
  }
}

std::string Scenario::PathOf(const std::string& module) const {
  return std::filesystem::absolute(absl::StrCat(folder_, "/", module, ".so"));
}

void Scenario::Note(const std::string& what,
                    const absl::StatusOr<UpdateReport>& report) {
  report_.reset();
  if (!report.ok()) {
    Say(absl::StrCat("# ", what, ": ",
                     absl::StatusCodeToString(report.status().code())));
    Figure(absl::StrCat("(", report.status().message(), ")"));
    return;
  }
  report_ = *report;
  Say(absl::StrCat("# ", what, ": done"));
  std::string figure =
      absl::StrCat("(took ", Milliseconds(report->elapsed), ", applying ",
                   Milliseconds(report->applying), ", ", report->attempts,
                   report->attempts == 1 ? " attempt" : " attempts");
  if (report->hold_times.threads > 0) {
    absl::StrAppend(&figure, ", held ", report->hold_times.threads,
                    " threads for at most ",
                    Milliseconds(report->hold_times.maximum));
  }
  if (report->objects_converted > 0) {
    absl::StrAppend(&figure, ", converted ", report->objects_converted,
                    " objects");
  }
  Figure(figure + ")");
  for (const std::string& remark : report->remarks) Figure("(" + remark + ")");
}

void Scenario::Load(const std::string& module,
                    std::chrono::nanoseconds timeout) {
  const std::int64_t id = Send(module, timeout);
  int shown = 0;  // percent
  while (true) {
    const auto reply = control_->Receive(id, std::chrono::milliseconds(100));
    if (!reply.ok()) Die(reply.status().ToString());
    if (reply->has_value()) {
      Note("load " + module, (*reply)->As<UpdateReport>());
      return;
    }
    const auto status = control_->Status();
    if (!status.ok() || status->pending.empty()) continue;
    const instar::UpdateProgress& progress = status->pending.front().progress;
    if (progress.objects_total == 0) continue;
    const int percent = static_cast<int>(100 * progress.objects_converted /
                                         progress.objects_total);
    if (percent <= shown) continue;
    shown = percent;
    Figure(absl::StrCat("(", std::string(percent / 5, '='), "> ", percent,
                        " % of ", progress.objects_total, " objects)"));
  }
}

void Scenario::Rehearse(const std::string& module) {
  const auto report = control_->Check(PathOf(module));
  Say("# check " + module);
  Check(report.ok(), report.status().ToString());
  if (!report.ok()) return;
  for (const std::string& step : report->forecast.steps) {
    Figure("(would " + step + ")");
  }
  for (const std::string& remark : report->forecast.remarks) {
    Figure("(" + remark + ")");
  }
  for (const std::string& obstacle : report->forecast.obstacles) {
    Figure("(in its way: " + obstacle + ")");
  }
  for (const instar::Blocker& blocker : report->blockers) {
    Figure("(in its way: " + instar::ToString(blocker) + ")");
  }
}

void Scenario::Refused(const std::string& module,
                       std::chrono::nanoseconds timeout,
                       const std::string& because) {
  const auto report = control_->Load(PathOf(module), timeout);
  Note("load " + module, report);
  Check(!report.ok() && absl::StrContains(report.status().message(), because),
        absl::StrCat("expected that ", module, " is refused because of '",
                     because, "': ", report.status().ToString()));
}

void Scenario::Undo(std::chrono::nanoseconds timeout) {
  const auto report = control_->Undo("", timeout);
  Note("undo" + (report.ok() ? " " + report->update : ""), report);
}

std::int64_t Scenario::Send(const std::string& module,
                            std::chrono::nanoseconds timeout) {
  instar::Request request;
  request.command = instar::Command::kLoad;
  request.path = PathOf(module);
  request.timeout = timeout;
  const absl::StatusOr<std::int64_t> id = control_->Send(request);
  if (!id.ok()) Die(id.status().ToString());
  return *id;
}

void Scenario::Begin(const std::string& module) {
  begun_[module] = Send(module, std::chrono::seconds(60));
  Say("# begin to load " + module);
}

void Scenario::End(const std::string& module) {
  const auto reply =
      control_->Receive(begun_[module], std::chrono::seconds(100));
  if (!reply.ok()) Die(reply.status().ToString());
  if (!reply->has_value()) Die("no answer about " + module);
  Note("load " + module, (*reply)->As<UpdateReport>());
}

void Scenario::Check(bool holds, const std::string& what) {
  if (holds) return;
  ++wrong_;
  Say("WRONG: " + what);
}

int Scenario::End() {
  close(input_);
  input_ = -1;
  const int code = process_->Wait();
  Check(code == 0, absl::StrCat("the program ended with ", code));
  Say(wrong_ == 0 ? "\nAll of it was right."
                  : absl::StrCat("\n", wrong_, " things went wrong."));
  return wrong_ == 0 ? 0 : 1;
}

}  // namespace examples
