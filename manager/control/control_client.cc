// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/control_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/linux/deadline.h"
#include "base/status_macros.h"
#include "manager/control/process_file.h"

namespace instar {
namespace {

using Clock = std::chrono::steady_clock;
using manager_internal::FileDescriptor;

constexpr std::chrono::milliseconds kConnectAgain(20);

// The file itself is sent, since the program may see other files: it may be in
// another mount namespace, or have another root. One that cannot be read here
// may be there.
FileDescriptor OpenModule(const Request& request) {
  const bool has_one =
      request.command == Command::kLoad || request.command == Command::kCheck;
  return FileDescriptor(has_one
                            ? open(request.path.c_str(),
                                   O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
                            : -1);
}

// As send(2), with a file unless that is -1.
ssize_t SendSome(int socket, absl::string_view bytes, int file) {
  if (file < 0) return send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(file))] = {};
  iovec part = {const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* const files = CMSG_FIRSTHDR(&message);
  files->cmsg_level = SOL_SOCKET;
  files->cmsg_type = SCM_RIGHTS;
  files->cmsg_len = CMSG_LEN(sizeof(file));
  std::memcpy(CMSG_DATA(files), &file, sizeof(file));
  return sendmsg(socket, &message, MSG_NOSIGNAL);
}

absl::StatusOr<FileDescriptor> ConnectUntil(const RunningProgram& program,
                                            Clock::time_point until) {
  while (true) {
    absl::StatusOr<FileDescriptor> socket = ConnectTo(program.socket);
    if (socket.ok()) return socket;
    const bool may_pass = (absl::IsNotFound(socket.status()) ||
                           absl::IsUnavailable(socket.status())) &&
                          manager_internal::IsRunning(program.pid);
    if (!may_pass || Clock::now() >= until) return socket.status();
    std::this_thread::sleep_for(kConnectAgain);
  }
}

}  // namespace

absl::StatusOr<ControlClient> ControlClient::Connect(
    const std::string& socket_path) {
  INSTAR_ASSIGN_OR_RETURN(FileDescriptor socket, ConnectTo(socket_path));
  return ControlClient(std::move(socket));
}

absl::StatusOr<ControlClient> ControlClient::ConnectPatiently(
    const RunningProgram& program, std::chrono::nanoseconds limit) {
  const Clock::time_point until = DeadlineAfter(limit);
  INSTAR_ASSIGN_OR_RETURN(FileDescriptor socket, ConnectUntil(program, until));
  ControlClient client(std::move(socket));
  client.program_ = program;
  client.until_ = until;
  return client;
}

pid_t ControlClient::process() const {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  return getsockopt(socket_.number(), SOL_SOCKET, SO_PEERCRED, &peer, &size) ==
                 0
             ? peer.pid
             : 0;
}

absl::Status ControlClient::Close(absl::string_view reason) {
  closed_ = absl::UnavailableError(
      absl::StrCat("the connection to the program is closed: ", reason));
  return closed_;
}

absl::StatusOr<std::int64_t> ControlClient::Send(Request request) {
  INSTAR_RETURN_IF_ERROR(closed_);
  request.id = next_id_++;
  FileDescriptor module = OpenModule(request);
  request.sends_file = module.number() >= 0;
  INSTAR_ASSIGN_OR_RETURN(const std::string text, EncodeRequest(request));
  const std::string frame = MakeFrame(text);
  const int file = module.number();
  const bool is_first = !std::exchange(has_sent_, true);
  only_request_ = is_first ? frame : "";
  only_module_ = is_first ? std::move(module) : FileDescriptor();
  INSTAR_RETURN_IF_ERROR(SendFrame(frame, file));
  return request.id;
}

absl::Status ControlClient::SendFrame(absl::string_view frame, int file) {
  const int repeats = repeats_;
  while (!frame.empty()) {
    const ssize_t sent = SendSome(socket_.number(), frame, file);
    if (sent >= 0) {
      frame.remove_prefix(static_cast<std::size_t>(sent));
      file = -1;
      continue;
    }
    if (errno == EINTR) continue;
    // What the program said before it closed tells more than the error.
    while (repeats_ == repeats) INSTAR_RETURN_IF_ERROR(Read());
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

// A connection that is closed while something that was sent has not been read
// is reset. A request of which a part was not read has not been looked at.
bool ControlClient::MayRepeat() const {
  return !only_request_.empty() && Clock::now() < until_;
}

absl::Status ControlClient::Repeat() {
  std::this_thread::sleep_for(kConnectAgain);
  absl::StatusOr<FileDescriptor> socket = ConnectUntil(program_, until_);
  if (!socket.ok()) return Close(socket.status().message());
  socket_ = *std::move(socket);
  ++repeats_;
  return SendFrame(std::string(only_request_), only_module_.number());
}

absl::StatusOr<std::optional<Reply>> ControlClient::Receive(
    std::int64_t id, std::chrono::nanoseconds timeout) {
  constexpr std::chrono::nanoseconds kNone{0};
  const Clock::time_point begin = Clock::now();
  while (true) {
    const auto found = replies_.find(id);
    if (found != replies_.end()) {
      std::optional<Reply> reply = std::move(found->second);
      replies_.erase(found);
      return reply;
    }
    INSTAR_RETURN_IF_ERROR(closed_);
    const auto rest = std::max(kNone, timeout - (Clock::now() - begin));
    timespec limit;
    limit.tv_sec = std::chrono::floor<std::chrono::seconds>(rest).count();
    limit.tv_nsec = (rest % std::chrono::seconds(1)).count();
    pollfd wanted = {socket_.number(), POLLIN, 0};
    const int ready = ppoll(&wanted, 1, &limit, nullptr);
    if (ready < 0 && errno != EINTR) return Close(std::strerror(errno));
    if (ready <= 0) return std::nullopt;
    INSTAR_RETURN_IF_ERROR(Read());
  }
}

absl::Status ControlClient::Read() {
  char bytes[1 << 14];
  const ssize_t size = recv(socket_.number(), bytes, sizeof(bytes), 0);
  if (size == 0) return Close("the program has ended, or closed it");
  if (size < 0) {
    if (errno == EINTR) return absl::OkStatus();
    if (errno == ECONNRESET && MayRepeat()) return Repeat();
    return Close(std::strerror(errno));
  }
  only_request_.clear();
  only_module_ = FileDescriptor();
  parser_.Append({bytes, static_cast<std::size_t>(size)});
  while (true) {
    const auto frame = parser_.Next();
    if (!frame.ok()) return Close(frame.status().message());
    if (!frame->has_value()) return absl::OkStatus();
    INSTAR_RETURN_IF_ERROR(Keep(**frame));
  }
}

absl::Status ControlClient::Keep(absl::string_view frame) {
  absl::StatusOr<Reply> reply = DecodeReply(frame);
  if (!reply.ok()) return Close(reply.status().message());
  const std::int64_t id = reply->id();
  if (id == 0) {  // it concerns the connection
    closed_ = reply->status().ok() ? Close("it has sent a reply to no request")
                                   : reply->status();
    return closed_;
  }
  if (abandoned_.erase(id) == 0) replies_.emplace(id, *std::move(reply));
  return absl::OkStatus();
}

template <typename Report>
absl::StatusOr<Report> ControlClient::Ask(
    const Request& request, std::optional<std::chrono::nanoseconds> patience) {
  INSTAR_ASSIGN_OR_RETURN(const std::int64_t id, Send(request));
  const Clock::time_point begin = Clock::now();
  while (true) {
    const std::chrono::nanoseconds rest =
        patience.has_value() ? *patience - (Clock::now() - begin)
                             : std::chrono::hours(1);
    if (rest.count() <= 0) {
      abandoned_.insert(id);
      return absl::DeadlineExceededError(absl::StrCat(
          "the program did not answer within ",
          std::chrono::duration_cast<std::chrono::milliseconds>(*patience)
              .count(),
          " ms; is it stopped?"));
    }
    INSTAR_ASSIGN_OR_RETURN(const std::optional<Reply> reply,
                            Receive(id, rest));
    if (reply.has_value()) return reply->As<Report>();
  }
}

absl::StatusOr<ProgramReport> ControlClient::Program() {
  Request request;
  request.command = Command::kProgram;
  return Ask<ProgramReport>(request, patience_);
}

absl::StatusOr<StatusReport> ControlClient::Status() {
  Request request;
  request.command = Command::kStatus;
  return Ask<StatusReport>(request, patience_);
}

absl::StatusOr<JournalReport> ControlClient::Log(std::size_t entries) {
  Request request;
  request.command = Command::kLog;
  request.entries = entries;
  return Ask<JournalReport>(request, patience_);
}

absl::StatusOr<CancelReport> ControlClient::Cancel(const std::string& update) {
  Request request;
  request.command = Command::kCancel;
  request.update = update;
  return Ask<CancelReport>(request, patience_);
}

absl::StatusOr<ImagesReport> ControlClient::Images() {
  Request request;
  request.command = Command::kImages;
  return Ask<ImagesReport>(request, patience_);
}

absl::StatusOr<CheckReport> ControlClient::Check(const std::string& path,
                                                 bool without_stacks) {
  Request request;
  request.command = Command::kCheck;
  request.without_stacks = without_stacks;
  request.path = path;
  return Ask<CheckReport>(request, std::nullopt);
}

absl::StatusOr<UpdateReport> ControlClient::Load(
    const std::string& path, std::chrono::nanoseconds timeout) {
  Request request;
  request.command = Command::kLoad;
  request.path = path;
  request.timeout = timeout;
  return Ask<UpdateReport>(request, std::nullopt);
}

absl::StatusOr<UnloadReport> ControlClient::Unload(
    const std::string& update, std::chrono::nanoseconds longest_hold) {
  Request request;
  request.command = Command::kUnload;
  request.update = update;
  request.timeout = longest_hold;
  return Ask<UnloadReport>(request, std::nullopt);
}

absl::StatusOr<UpdateReport> ControlClient::Undo(
    const std::string& update, std::chrono::nanoseconds timeout) {
  Request request;
  request.command = Command::kUndo;
  request.update = update;
  request.timeout = timeout;
  return Ask<UpdateReport>(request, std::nullopt);
}

}  // namespace instar
