// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Requests and replies of a control socket: the contents of its frames
// (manager/control/frame.h). docs/control_protocol.md describes them for
// whoever implements a client in another language.
//
//   Request request;
//   request.command = Command::kLoad;
//   request.path = "/home/me/add_ratings.so";
//   INSTAR_ASSIGN_OR_RETURN(std::string text, EncodeRequest(request));
//   ...
//   INSTAR_ASSIGN_OR_RETURN(Reply reply, DecodeReply(received));
//   INSTAR_ASSIGN_OR_RETURN(UpdateReport report, reply.As<UpdateReport>());
//
// A connection carries any number of requests; a reply bears the id of its
// request, and replies come in the order in which they are ready.
//
// Nothing here throws, whatever was received.
// Threads: all functions may be called from any thread; values as usual.

#ifndef INSTAR_MANAGER_CONTROL_PROTOCOL_H_
#define INSTAR_MANAGER_CONTROL_PROTOCOL_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "manager/control/report_json.h"
#include "nlohmann/json_fwd.hpp"

namespace instar {

// Rises when an old client or server would misunderstand; fields may be added
// without.
inline constexpr int kProtocolVersion = 1;

inline constexpr std::chrono::nanoseconds kDefaultTimeout =
    std::chrono::seconds(30);
// For how long threads may be held when something is to be unloaded.
inline constexpr std::chrono::nanoseconds kDefaultHold =
    std::chrono::milliseconds(100);
inline constexpr std::size_t kDefaultLogEntries = 1000;

// What a reply answers with is in brackets.
enum class Command {
  kProgram,  // who are you [ProgramReport]
  kStatus,   // [StatusReport]
  kCheck,    // path, without_stacks [CheckReport]
  kLoad,     // path, timeout [UpdateReport]
  kUndo,     // update, timeout [UpdateReport]
  kCancel,   // update [CancelReport]
  kLog,      // entries [JournalReport]
  kImages,   // what is loaded [ImagesReport]
  kUnload,   // update, timeout: of threads that are held [UnloadReport]
};

inline constexpr int kCommands = 9;

const char* ToString(Command command);

struct Request {
  std::int64_t id = 1;  // at least 1; chosen by the client
  Command command = Command::kProgram;
  std::string path;    // of a module, absolute
  std::string update;  // its name; empty: whichever it is
  std::chrono::nanoseconds timeout = kDefaultTimeout;
  std::size_t entries = kDefaultLogEntries;  // at most, the latest
  bool without_stacks = false;               // no thread is stopped to look
  // The module's open file comes with the first byte (SCM_RIGHTS).
  bool sends_file = false;
};

// InvalidArgument if the request cannot be sent: too long, or no UTF-8.
absl::StatusOr<std::string> EncodeRequest(const Request& request);

// What could be made of a request: its id, as far as it had one (else 0), so
// that an error can be answered to it.
struct DecodedRequest {
  std::int64_t id = 0;
  absl::StatusOr<Request> request;
};

// Errors: InvalidArgument (what is wrong is named), Unimplemented (a version or
// a command that is not known).
DecodedRequest DecodeRequest(absl::string_view text);

// A reply with a report, or with an error. One that would be too long for a
// frame becomes the error ResourceExhausted. `id` is 0 for an error that
// concerns the connection.
template <typename Report>
std::string EncodeReply(std::int64_t id, const absl::StatusOr<Report>& report);
std::string EncodeError(std::int64_t id, const absl::Status& error);

class Reply {
 public:
  std::int64_t id() const { return id_; }
  const absl::Status& status() const { return status_; }

  // The report, or the error. InvalidArgument if it is another report.
  template <typename Report>
  absl::StatusOr<Report> As() const;

 private:
  friend absl::StatusOr<Reply> DecodeReply(absl::string_view text);
  Reply() = default;

  std::int64_t id_ = 0;
  absl::Status status_;
  std::shared_ptr<const nlohmann::json> report_;  // null: an error
};

// InvalidArgument if it is no reply.
absl::StatusOr<Reply> DecodeReply(absl::string_view text);

}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_PROTOCOL_H_
