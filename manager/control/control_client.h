// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A connection to a program that can be updated: what instarctl uses.
//
//   INSTAR_ASSIGN_OR_RETURN(ControlClient client,
//                           ControlClient::Connect(program.socket));
//   INSTAR_ASSIGN_OR_RETURN(StatusReport status, client.Status());
//
// Several requests may be under way; here the status is asked for while a load
// goes on:
//
//   Request load;
//   load.command = Command::kLoad;
//   load.path = "/home/me/add_ratings.so";
//   INSTAR_ASSIGN_OR_RETURN(std::int64_t id, client.Send(load));
//   while (true) {
//     INSTAR_ASSIGN_OR_RETURN(std::optional<Reply> reply,
//                             client.Receive(id, milliseconds(100)));
//     if (reply.has_value()) return reply->As<UpdateReport>();
//     INSTAR_ASSIGN_OR_RETURN(StatusReport status, client.Status());
//     ...
//   }
//
// Errors: what the program answered, with the same code and message; else
//   Unavailable        the connection is closed: the program ended, or refused
//                      it, and what it said is in the message; no request can
//                      be sent any more
//   DeadlineExceeded   no reply came in time
// A connection that goes away takes nothing back: an update that was loaded
// goes on.
//
// Threads: each client by one at a time. A signal ends a wait early.

#ifndef INSTAR_MANAGER_CONTROL_CONTROL_CLIENT_H_
#define INSTAR_MANAGER_CONTROL_CONTROL_CLIENT_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "manager/control/control_service.h"
#include "manager/control/frame.h"
#include "manager/control/protocol.h"
#include "manager/control/socket_directory.h"
#include "manager/module/file_descriptor.h"

namespace instar {

class ControlClient {
 public:
  // Waits for nobody. Errors: those of ConnectTo()
  // (manager/control/socket_directory.h).
  static absl::StatusOr<ControlClient> Connect(const std::string& socket_path);

  // The same for a program that may be about to listen: one that has closed all
  // of its descriptors, as daemons do, does so within a second. Waits, up to
  // `limit`, while nobody listens or too many wait to be served, and the
  // process is there; no other error passes. A connection that nobody has taken
  // is made again until then, and its first request, of which nothing has been
  // read, is sent again.
  static absl::StatusOr<ControlClient> ConnectPatiently(
      const RunningProgram& program, std::chrono::nanoseconds limit);

  ControlClient(ControlClient&&) = default;
  ControlClient& operator=(ControlClient&&) = default;

  // Sends the request under an id of its own, which is returned; that of
  // `request` does not matter.
  absl::StatusOr<std::int64_t> Send(Request request);

  // The reply to that request, which is then done with. Nothing if it has not
  // come within `timeout`, or a signal came before. Replies to others are kept.
  absl::StatusOr<std::optional<Reply>> Receive(
      std::int64_t id, std::chrono::nanoseconds timeout);

  // How long the calls below wait for a reply.
  void set_patience(std::chrono::nanoseconds patience) { patience_ = patience; }

  // What each asks is in manager/control/control_service.h.
  absl::StatusOr<ProgramReport> Program();
  absl::StatusOr<StatusReport> Status();
  absl::StatusOr<JournalReport> Log(std::size_t entries = kDefaultLogEntries);
  absl::StatusOr<CancelReport> Cancel(const std::string& update);
  absl::StatusOr<ImagesReport> Images();

  // These last as long as an update does: they wait for the reply without a
  // limit, signals or not.
  absl::StatusOr<CheckReport> Check(const std::string& path,
                                    bool without_stacks = false);
  absl::StatusOr<UpdateReport> Load(
      const std::string& path,
      std::chrono::nanoseconds timeout = kDefaultTimeout);
  absl::StatusOr<UpdateReport> Undo(
      const std::string& update = "",
      std::chrono::nanoseconds timeout = kDefaultTimeout);
  absl::StatusOr<UnloadReport> Unload(const std::string& update,
                                      std::chrono::nanoseconds longest_hold);

  // The process that listens at the other end; 0: it is not known.
  pid_t process() const;

  // Why no request can be sent any more; OK: they can.
  const absl::Status& connection() const { return closed_; }

 private:
  using Clock = std::chrono::steady_clock;

  explicit ControlClient(manager_internal::FileDescriptor socket)
      : socket_(std::move(socket)) {}

  template <typename Report>
  absl::StatusOr<Report> Ask(const Request& request,
                             std::optional<std::chrono::nanoseconds> patience);
  // With this file; negative: none.
  absl::Status SendFrame(absl::string_view frame, int file);
  bool MayRepeat() const;
  // Connects again, and sends the first request again.
  absl::Status Repeat();
  // Receives what is there, and keeps the replies.
  absl::Status Read();
  absl::Status Keep(absl::string_view frame);
  absl::Status Close(absl::string_view reason);

  manager_internal::FileDescriptor socket_;
  FrameParser parser_{kMaxFrameBytes};
  std::int64_t next_id_ = 1;
  std::map<std::int64_t, Reply> replies_;
  std::set<std::int64_t> abandoned_;  // their replies are dropped
  absl::Status closed_;               // why; OK: it is open
  std::chrono::nanoseconds patience_ = std::chrono::seconds(10);

  // Of ConnectPatiently().
  RunningProgram program_;
  Clock::time_point until_ = Clock::time_point::min();
  int repeats_ = 0;
  bool has_sent_ = false;
  std::string only_request_;  // its frame; empty: there are others, or replies
  manager_internal::FileDescriptor only_module_;  // that comes with it
};

}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_CONTROL_CLIENT_H_
