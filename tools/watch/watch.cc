// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/watch/watch.h"

#include <poll.h>

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "manager/internal/journal.h"

namespace instar {
namespace instarctl {
namespace {

using std::chrono::milliseconds;

// How often the counts are asked for, and the health command is run.
constexpr milliseconds kCountAgain(250);
constexpr std::chrono::seconds kHealthAgain(1);
// A program that does not answer within that time has failed.
constexpr std::chrono::seconds kPatience(5);
// One whose connection was closed has either ended, which is known soon, or
// listens anew.
constexpr std::chrono::seconds kListensAgain(3);
// So many requests say something of a share.
constexpr std::uint64_t kEnough = 20;

absl::Status Of(const RunningProgram& program, const absl::Status& error) {
  return absl::Status(error.code(), absl::StrCat("process ", program.pid, ": ",
                                                 error.message()));
}

// It lies beside the socket.
std::string JournalOf(const RunningProgram& program) {
  return absl::StrCat(program.socket.substr(0, program.socket.rfind('/') + 1),
                      program.name, kJournalSuffix);
}

ProgramHealth Sum(const ProgramHealth& a, const ProgramHealth& b) {
  return {a.requests + b.requests, a.errors + b.errors};
}

}  // namespace

bool ErrorLimit::IsExceeded(const ProgramHealth& counted,
                            bool at_the_end) const {
  if (number.has_value()) return counted.errors > *number;
  const std::uint64_t requests = std::max(counted.requests, counted.errors);
  if (requests < kEnough && !at_the_end) return false;
  return static_cast<double>(counted.errors) >
         share * static_cast<double>(requests);
}

std::string ErrorLimit::ToString() const {
  return number.has_value() ? absl::StrCat(*number)
                            : absl::StrCat(share * 100, " % of the requests");
}

absl::StatusOr<ErrorLimit> ParseErrorLimit(const std::string& text) {
  absl::string_view number = text;
  ErrorLimit limit;
  if (absl::ConsumeSuffix(&number, "%")) {
    double percent = -1;
    if (absl::SimpleAtod(number, &percent) && percent >= 0 && percent <= 100) {
      limit.share = percent / 100;
      return limit;
    }
  } else if (std::uint64_t count = 0; absl::SimpleAtoi(number, &count)) {
    limit.number = count;
    return limit;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", text, "\" is no limit of errors, as \"5%\" or \"10\""));
}

absl::StatusOr<std::chrono::nanoseconds> ParseWindow(const std::string& text) {
  absl::Duration duration;
  double seconds = 0;
  const bool is_number = absl::SimpleAtod(text, &seconds);
  if (is_number) duration = absl::Seconds(seconds);
  if ((is_number || absl::ParseDuration(text, &duration)) &&
      duration > absl::ZeroDuration() && duration < absl::Hours(24 * 365)) {
    return absl::ToChronoNanoseconds(duration);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is no time, as \"30s\" or \"2m\""));
}

Watch::Watch(WatchOptions options)
    : options_(std::move(options)), health_(options_.health) {}

absl::Status Watch::Begin(absl::Span<const RunningProgram> programs) {
  for (const RunningProgram& program : programs) {
    absl::StatusOr<ControlClient> client =
        ControlClient::ConnectPatiently(program, kListensAgain);
    if (!client.ok()) return Of(program, client.status());
    client->set_patience(kPatience);
    // Its number here: it may be in a namespace of its own.
    const pid_t pid = client->process();
    absl::StatusOr<ProcessEnd> end =
        ProcessEnd::Of(pid == 0 ? program.pid : pid);
    if (!end.ok()) return Of(program, end.status());
    Watched watched{program, *std::move(end), *std::move(client), {}, {}};
    // That it answers says that this is the process that listens.
    if (const absl::Status counted = Count(watched, &watched.before);
        !counted.ok()) {
      return Of(program, counted);
    }
    watched_.push_back(std::move(watched));
  }
  return absl::OkStatus();
}

absl::Status Watch::CheckHealth() {
  return options_.health.empty() ? absl::OkStatus() : health_.Run();
}

absl::Status Watch::Count(Watched& watched, ProgramHealth* health) {
  absl::StatusOr<ProgramReport> program = watched.client.Program();
  if (!program.ok() && !watched.client.connection().ok() &&
      !watched.end.has_come()) {
    // It has closed its descriptors.
    INSTAR_ASSIGN_OR_RETURN(
        watched.client,
        ControlClient::ConnectPatiently(watched.program, kListensAgain));
    watched.client.set_patience(kPatience);
    program = watched.client.Program();
  }
  INSTAR_RETURN_IF_ERROR(program.status());
  *health = {program->requests, program->errors};
  return absl::OkStatus();
}

Watch::Verdict Watch::VerdictOf(const Watched& watched) const {
  const Ending ending = watched.end.Find();
  Verdict verdict;
  verdict.process = watched.program.pid;
  verdict.kind = ending.is_crash() ? Kind::kCrashed : Kind::kEnded;
  verdict.reason = absl::StrCat("process ", watched.program.pid,
                                " ended: ", ending.ToString());
  if (ending.signal.has_value() || ending.exit_code.has_value()) return verdict;
  // A manager that ends with its program says so in the journal.
  const absl::StatusOr<std::vector<JournalEntry>> journal =
      ReadJournal(JournalOf(watched.program));
  const bool has_said_so =
      journal.ok() && std::any_of(journal->rbegin(), journal->rend(),
                                  [&](const JournalEntry& entry) {
                                    return entry.pid == watched.program.pid &&
                                           entry.event == "ended";
                                  });
  if (!has_said_so) {
    verdict.kind = Kind::kCrashed;
    absl::StrAppend(&verdict.reason,
                    "; its journal does not say that it came to its end, "
                    "which is taken for a crash");
  }
  return verdict;
}

std::optional<Watch::Verdict> Watch::LookAtProcesses() {
  for (std::size_t i = 0; i < watched_.size();) {
    if (!watched_[i].end.has_come()) {
      ++i;
      continue;
    }
    Verdict verdict = VerdictOf(watched_[i]);
    if (verdict.kind == Kind::kCrashed || watched_.size() == 1) return verdict;
    // As workers do that have had enough.
    gone_ = Sum(gone_, watched_[i].counted);
    watched_.erase(watched_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return std::nullopt;
}

std::optional<Watch::Verdict> Watch::LookAtCounts(bool at_the_end) {
  ProgramHealth sum = gone_;
  for (Watched& watched : watched_) {
    ProgramHealth now;
    if (const absl::Status counted = Count(watched, &now); !counted.ok()) {
      // One that has ended is found as such.
      if (watched.end.Await(kListensAgain)) return LookAtProcesses();
      Verdict failed;
      failed.kind = Kind::kFailed;
      failed.reason = absl::StrCat("process ", watched.program.pid,
                                   " does not answer: ", counted.message());
      return failed;
    }
    watched.counted = {now.requests - watched.before.requests,
                       now.errors - watched.before.errors};
    sum = Sum(sum, watched.counted);
  }
  progress_.counted = sum;
  if (!options_.errors.IsExceeded(sum, at_the_end)) return std::nullopt;
  Verdict failed;
  failed.kind = Kind::kFailed;
  failed.reason = absl::StrCat(
      "the program has counted ", sum.errors, " errors of ",
      std::max(sum.requests, sum.errors), " requests, and the limit is ",
      options_.errors.ToString(), " (--max-errors)");
  return failed;
}

std::optional<Watch::Verdict> Watch::LookAtHealth(bool at_the_end) {
  if (options_.health.empty()) return std::nullopt;
  Verdict failed;
  failed.kind = Kind::kFailed;
  if (health_.is_running()) {
    const std::optional<absl::Status> said = health_.Finish();
    if (!said.has_value()) return std::nullopt;
    ++progress_.health_runs;
    next_health_ = Clock::now() + kHealthAgain;
    if (said->ok()) return std::nullopt;
    failed.reason = std::string(said->message());
    return failed;
  }
  if (at_the_end || Clock::now() < next_health_) return std::nullopt;
  if (const absl::Status started = health_.Start(); !started.ok()) {
    failed.reason = std::string(started.message());
    return failed;
  }
  return std::nullopt;
}

std::optional<Watch::Verdict> Watch::FindEnd(milliseconds limit) {
  for (const Watched& watched : watched_) {
    if (watched.end.Await(limit)) return VerdictOf(watched);
  }
  return std::nullopt;
}

Watch::Verdict Watch::Run(absl::FunctionRef<void(const Progress&)> show,
                          const std::function<bool()>& wants_to_leave) {
  const Clock::time_point begin = Clock::now();
  const Clock::time_point end = DeadlineAfter(begin, options_.window);
  progress_ = {};
  gone_ = {};
  next_health_ = begin;
  // What came before the update was applied is not its fault.
  for (Watched& watched : watched_) {
    watched.counted = {};
    if (!Count(watched, &watched.before).ok()) break;  // told below
  }
  while (true) {
    const bool is_over = Clock::now() >= end;
    if (wants_to_leave()) {
      health_.Stop();
      return {Kind::kLeft, 0, ""};
    }
    std::optional<Verdict> verdict = LookAtProcesses();
    if (!verdict.has_value()) verdict = LookAtHealth(is_over);
    // A command that still runs at the end is waited for.
    const bool is_last = is_over && !health_.is_running();
    if (!verdict.has_value()) verdict = LookAtCounts(is_last);
    if (!verdict.has_value() && is_last) {
      verdict = LookAtProcesses();
      if (!verdict.has_value()) verdict = Verdict();
    }
    progress_.elapsed = Clock::now() - begin;
    if (verdict.has_value()) {
      health_.Stop();
      return *std::move(verdict);
    }
    show(progress_);
    std::vector<pollfd> wanted;
    for (const Watched& watched : watched_) {
      wanted.push_back({watched.end.descriptor(), POLLIN, 0});
    }
    Clock::time_point until = Clock::now() + kCountAgain;
    if (health_.is_running()) {
      wanted.push_back({health_.descriptor(), POLLIN, 0});
      until = std::min(until, health_.deadline());
    } else {
      until = std::min(until, end);
    }
    const auto left =
        std::chrono::ceil<milliseconds>(until - Clock::now()).count();
    poll(wanted.data(), wanted.size(),
         static_cast<int>(std::max<long long>(0, left)));
  }
}

}  // namespace instarctl
}  // namespace instar
