// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/instarctl/update_command.h"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "manager/control/report_json.h"
#include "tools/instarctl/display.h"
#include "tools/instarctl/output.h"

namespace instar {
namespace instarctl {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// How long a program may be silent when the time limit is over, or a signal has
// come, and when it is shown that it is.
constexpr std::chrono::seconds kLongestSilence(5);

// The report on what was asked for by `request`; null: it is not there (yet, or
// any more), or it cannot be told which one it is: other clients may have asked
// for the same.
const PendingReport* FindPending(const StatusReport& status,
                                 const Request& request) {
  const PendingReport* found = nullptr;
  for (const PendingReport& pending : status.pending) {
    const bool is_it =
        request.command == Command::kLoad
            ? pending.kind == PendingKind::kLoad &&
                  pending.module == request.path
            : pending.kind == PendingKind::kUndo &&
                  (request.update.empty() || pending.update == request.update);
    if (!is_it) continue;
    if (found != nullptr) return nullptr;
    found = &pending;
  }
  return found;
}

// Sends a request to load or undo, and shows what happens until the reply.
class UpdateCommand {
 public:
  UpdateCommand(ControlClient& client, const Request& request, bool json)
      : client_(client),
        request_(request),
        json_(json),
        style_(OutputStyle()),
        display_(stdout, SizeFor(style_)) {}

  UpdateOutcome Run() {
    CountInterruptions();
    const absl::StatusOr<std::int64_t> id = client_.Send(request_);
    if (!id.ok()) {
      return {client_.connection().ok() ? kRefused : kUnreachable, id.status()};
    }
    until_ = DeadlineAfter(request_.timeout);
    heard_ = Clock::now();
    while (true) {
      // Most updates are done before anything could be shown.
      const absl::StatusOr<std::optional<Reply>> reply =
          client_.Receive(*id, milliseconds(100));
      if (!reply.ok()) {
        display_.Clear();
        return {kUnreachable, reply.status()};
      }
      if (reply->has_value()) return End((*reply)->As<UpdateReport>());
      const int asked = Interruptions();
      if (asked > 1) {
        display_.Clear();
        return {kRefused, absl::CancelledError("left; the update goes on "
                                               "without us (instarctl log)")};
      }
      if (IsSilent() && (asked > 0 || Clock::now() >= until_)) return GiveUp();
      const std::optional<Reply> early = Look(*id, asked > 0);
      if (early.has_value()) return End(early->As<UpdateReport>());
    }
  }

 private:
  // It keeps its own time limit if it answers at all.
  bool IsSilent() const { return Clock::now() - heard_ >= kLongestSilence; }

  // The request stays in the connection, also when that is closed here.
  UpdateOutcome GiveUp() {
    display_.Clear();
    return {kUnreachable,
            absl::DeadlineExceededError(absl::StrCat(
                "the program has not answered for ",
                std::chrono::floor<std::chrono::seconds>(Clock::now() - heard_)
                    .count(),
                " s: is it stopped, or can it open no more files (ulimit -n)? "
                "When it answers again it may still do what was asked for "
                "(instarctl log)"))};
  }

  // The reply to a request that was sent before, or now; nothing if it has not
  // come yet, or a signal came. There is one such request at a time: a program
  // that does not answer has no use for more.
  absl::StatusOr<std::optional<StatusReport>> AskForStatus() {
    if (!status_id_.has_value()) {
      Request request;
      request.command = Command::kStatus;
      INSTAR_ASSIGN_OR_RETURN(status_id_, client_.Send(request));
    }
    INSTAR_ASSIGN_OR_RETURN(const std::optional<Reply> reply,
                            client_.Receive(*status_id_, milliseconds(100)));
    if (!reply.has_value()) return std::nullopt;
    status_id_.reset();
    heard_ = Clock::now();
    INSTAR_ASSIGN_OR_RETURN(StatusReport status, reply->As<StatusReport>());
    return std::optional<StatusReport>(std::move(status));
  }

  // Shows what is going on, and cancels it if that was asked for. The reply, if
  // that has come meanwhile: what is pending then is another client's.
  std::optional<Reply> Look(std::int64_t id, bool cancel) {
    const absl::StatusOr<std::optional<StatusReport>> asked = AskForStatus();
    if (!asked.ok()) {
      // A connection that is closed is found out by Run().
      Show({style_.Bad(std::string(asked.status().message()))});
      return std::nullopt;
    }
    const std::optional<StatusReport>& status = *asked;
    if (!status.has_value()) {
      if (IsSilent()) {
        Show({style_.Bad("the program does not answer; is it stopped?")});
      }
      return std::nullopt;
    }
    absl::StatusOr<std::optional<Reply>> reply =
        client_.Receive(id, milliseconds(0));
    if (reply.ok() && reply->has_value()) return *std::move(reply);
    const PendingReport* const pending = FindPending(*status, request_);
    if (pending == nullptr) {
      if (cancel && !status->pending.empty()) {
        Show(
            {"other clients have asked for the same: see `instarctl status`, "
             "and cancel by `instarctl cancel UPDATE`; Ctrl-C leaves it to "
             "itself"});
      }
      return std::nullopt;
    }
    Lines lines = WaitingLines(*status, *pending, style_);
    if (cancel && !has_cancelled_) {
      if (pending->update.empty()) {
        // Without a name everything that is pending would be cancelled.
        lines.push_back("cancelling as soon as it is its turn ...");
      } else {
        has_cancelled_ = true;
        cancel_error_ = client_.Cancel(pending->update).status();
      }
    }
    if (has_cancelled_) {
      lines.push_back(cancel_error_.ok()
                          ? "cancelling ..."
                          : absl::StrCat("it cannot be cancelled any more: ",
                                         cancel_error_.message()));
    }
    Show(std::move(lines));
    return std::nullopt;
  }

  void Show(Lines lines) {
    if (!json_) display_.Show(std::move(lines));
  }

  UpdateOutcome End(absl::StatusOr<UpdateReport> report) {
    display_.Clear();
    if (!report.ok()) return {CodeOf(report.status()), report.status()};
    if (json_) {
      std::printf("%s\n", ToJson(*report, 2).c_str());
    } else {
      Print(UpdateLines(request_.command == Command::kLoad ? PendingKind::kLoad
                                                           : PendingKind::kUndo,
                        *report, style_));
    }
    std::fflush(stdout);
    return {kDone, absl::OkStatus(), *std::move(report)};
  }

  ControlClient& client_;
  const Request& request_;
  const bool json_;
  const Style style_;
  LiveDisplay display_;
  Clock::time_point until_;                // of the time limit
  Clock::time_point heard_;                // when it has last answered
  std::optional<std::int64_t> status_id_;  // that is outstanding
  bool has_cancelled_ = false;
  absl::Status cancel_error_;
};

}  // namespace

UpdateOutcome RunUpdate(ControlClient& client, const Request& request,
                        bool json) {
  return UpdateCommand(client, request, json).Run();
}

}  // namespace instarctl
}  // namespace instar
