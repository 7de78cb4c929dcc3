// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/control_connection.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace instar {
namespace manager_internal {
namespace {

// In one message; the kernel sends no more than that at once.
constexpr std::size_t kMostFiles = 253;

// Whether the other end was closed, rather than only its sending side.
bool IsHungUp(int socket) {
  pollfd status = {socket, 0, 0};
  return poll(&status, 1, 0) == 1 && (status.revents & POLLHUP) != 0;
}

// The latest entries, as many as fit into half a frame: what JSON adds to them
// has the other half.
absl::StatusOr<JournalReport> Latest(
    absl::StatusOr<std::vector<JournalEntry>> journal, std::size_t entries) {
  if (!journal.ok()) return std::move(journal).status();
  constexpr std::size_t kNamesAndNumbers = 128;
  JournalReport report;
  report.omitted = journal->size();
  std::size_t bytes = 0;
  while (report.omitted > 0 && journal->size() - report.omitted < entries) {
    const JournalEntry& entry = (*journal)[report.omitted - 1];
    bytes += kNamesAndNumbers + entry.event.size() + entry.update.size() +
             entry.detail.size();
    if (bytes > kMaxFrameBytes / 2) break;
    --report.omitted;
  }
  report.entries.assign(
      std::make_move_iterator(journal->begin() + report.omitted),
      std::make_move_iterator(journal->end()));
  return report;
}

}  // namespace

void Mailbox::Wake() {
  const int wake = wake_.number();
  // If the program has closed it, the server's thread finds out by itself.
  if (wake >= 0) eventfd_write(wake, 1);
}

void Mailbox::Post(std::function<void()> task) {
  const std::lock_guard<std::mutex> lock(lock_);
  if (is_closed_) return;
  tasks_.push_back(std::move(task));
  Wake();
}

void Mailbox::Close() {
  const std::lock_guard<std::mutex> lock(lock_);
  is_closed_ = true;
  Wake();
}

std::vector<std::function<void()>> Mailbox::Take() {
  const std::lock_guard<std::mutex> lock(lock_);
  const int wake = wake_.number();
  eventfd_t ignored;
  if (wake >= 0) eventfd_read(wake, &ignored);
  return std::exchange(tasks_, {});
}

bool Mailbox::is_closed() const {
  const std::lock_guard<std::mutex> lock(lock_);
  return is_closed_;
}

int Mailbox::WakeDescriptor() {
  const std::lock_guard<std::mutex> lock(lock_);
  if (const int ours = wake_.number(); ours >= 0) return ours;
  closed_in_child_.reset();
  wake_ = OwnDescriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (wake_.is_open()) closed_in_child_.emplace(&wake_);
  return wake_.number();
}

Connection::Connection(int socket, const Requester& peer,
                       ControlService& service,
                       std::shared_ptr<Mailbox> mailbox,
                       const ControlServerLimits& limits)
    : socket_(socket),
      closed_in_child_(std::in_place, &socket_),
      peer_(peer),
      service_(service),
      mailbox_(std::move(mailbox)),
      limits_(limits) {}

void Connection::Close() {
  if (std::exchange(is_closed_, true)) return;
  closed_in_child_.reset();
  socket_.Close();
}

short Connection::events() const {
  return static_cast<short>((WantsMore() ? POLLIN : 0) |
                            (Unsent() > 0 ? POLLOUT : 0));
}

void Connection::Handle(short events) {
  if ((events & POLLOUT) != 0) {
    SendUnsent();
    // Room for replies was what it waited for.
    HandleFrames();
  }
  if ((events & (POLLIN | POLLHUP | POLLERR)) == 0) return;
  if (!is_closed_ && WantsMore()) {
    Receive();
  } else if ((events & (POLLHUP | POLLERR)) != 0) {
    Close();  // nobody takes its replies
  }
}

void Connection::Receive() {
  char received[1 << 14];
  alignas(cmsghdr) char control[CMSG_SPACE(kMostFiles * sizeof(int))];
  iovec bytes = {received, sizeof(received)};
  msghdr message = {};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t size =
      recvmsg(socket_.number(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (size >= 0) TakeFiles(message);
  if (size > 0) {
    parser_.Append({received, static_cast<std::size_t>(size)});
    return HandleFrames();
  }
  if (size == 0) return OnEnd();
  if (errno != EAGAIN && errno != EINTR) Close();
}

void Connection::TakeFiles(const msghdr& message) {
  msghdr received = message;  // CMSG_NXTHDR() takes no other
  for (cmsghdr* part = CMSG_FIRSTHDR(&received); part != nullptr;
       part = CMSG_NXTHDR(&received, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      auto file = std::make_shared<OwnDescriptor>(number);
      // More than it may have outstanding requests are of no use.
      if (files_.size() < limits_.outstanding) {
        files_.push_back(std::move(file));
      }
    }
  }
}

// A file comes with the first byte of its request, so that it is there.
absl::StatusOr<ModuleSource> Connection::ModuleOf(const Request& request) {
  ModuleSource module(request.path);
  if (!request.sends_file) return module;
  if (files_.empty()) {
    return absl::InvalidArgumentError(
        "\"sends_file\" is true, and no file came with the request");
  }
  module.file = std::move(files_.front());
  files_.pop_front();
  return module;
}

void Connection::OnEnd() {
  has_ended_ = true;
  if (IsHungUp(socket_.number())) return Close();
  if (!parser_.is_at_boundary()) {
    Send(EncodeError(0, absl::InvalidArgumentError(
                            "the connection ended within a request")));
  }
  CloseIfDone();
}

// Called again when something has been sent.
void Connection::HandleFrames() {
  while (!is_closed_ && WantsMore()) {
    const auto frame = parser_.Next();
    if (!frame.ok()) {
      has_ended_ = true;
      Send(EncodeError(0, frame.status()));
      break;
    }
    if (!frame->has_value()) break;
    HandleRequest(**frame);
  }
  CloseIfDone();
}

void Connection::HandleRequest(absl::string_view frame) {
  const DecodedRequest decoded = DecodeRequest(frame);
  const std::int64_t id = decoded.id;
  if (!decoded.request.ok()) {
    files_.clear();  // one of them may have been its own
    return Send(EncodeError(id, decoded.request.status()));
  }
  const Request& request = *decoded.request;
  switch (request.command) {
    case Command::kProgram:
      return Send(EncodeReply<ProgramReport>(id, service_.Program()));
    case Command::kStatus:
      return Send(EncodeReply<StatusReport>(id, service_.Status()));
    case Command::kImages:
      return Send(
          EncodeReply<ImagesReport>(id, ImagesReport{service_.Images()}));
    case Command::kLog:
      return Send(EncodeReply(id, Latest(service_.Journal(), request.entries)));
    case Command::kCancel: {
      auto updates = service_.Cancel(request.update);
      if (!updates.ok()) return Send(EncodeError(id, updates.status()));
      return Send(
          EncodeReply<CancelReport>(id, CancelReport{*std::move(updates)}));
    }
    case Command::kCheck:
    case Command::kLoad: {
      absl::StatusOr<ModuleSource> module = ModuleOf(request);
      if (!module.ok()) return Send(EncodeError(id, module.status()));
      if (!AddOutstanding(id)) return;
      if (request.command == Command::kLoad) {
        return service_.Load(*std::move(module), request.timeout, peer_,
                             ReplyLater<UpdateReport>(id));
      }
      return service_.Check(*std::move(module), request.without_stacks,
                            ReplyLater<CheckReport>(id));
    }
    case Command::kUnload:
      if (!AddOutstanding(id)) return;
      return service_.Unload(request.update, request.timeout, peer_,
                             ReplyLater<UnloadReport>(id));
    case Command::kUndo:
      if (!AddOutstanding(id)) return;
      return service_.Undo(request.update, request.timeout, peer_,
                           ReplyLater<UpdateReport>(id));
  }
}

bool Connection::AddOutstanding(std::int64_t id) {
  if (outstanding_ < limits_.outstanding) return ++outstanding_, true;
  Send(EncodeError(
      id, absl::ResourceExhaustedError(absl::StrCat(
              outstanding_,
              " requests of this connection are outstanding, and that is the ",
              "limit; wait for a reply"))));
  return false;
}

template <typename Report>
ControlService::Done<Report> Connection::ReplyLater(std::int64_t id) {
  // The reply is written on the service's thread, which has nothing to wait
  // for.
  return [mailbox = mailbox_, connection = weak_from_this(),
          id](absl::StatusOr<Report> report) {
    mailbox->Post([connection, reply = EncodeReply(id, report)] {
      const std::shared_ptr<Connection> self = connection.lock();
      if (self == nullptr || self->is_closed_) return;
      INSTAR_CHECK(self->outstanding_ > 0) << "a service answered twice";
      --self->outstanding_;
      self->Send(reply);
      self->CloseIfDone();
    });
  };
}

void Connection::Send(absl::string_view reply) {
  if (is_closed_) return;
  if (Unsent() + reply.size() > 2 * limits_.unsent_bytes) return Close();
  unsent_ += MakeFrame(reply);
  SendUnsent();
}

void Connection::SendUnsent() {
  while (!is_closed_ && Unsent() > 0) {
    const ssize_t size = send(socket_.number(), unsent_.data() + sent_,
                              Unsent(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size >= 0) {
      sent_ += static_cast<std::size_t>(size);
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      return Close();
    }
  }
  // What has been sent makes room when it is half of all.
  if (sent_ > unsent_.size() / 2) {
    unsent_.erase(0, sent_);
    sent_ = 0;
  }
}

void Connection::CloseIfDone() {
  if (is_closed_) return;
  if (has_ended_ && outstanding_ == 0 && Unsent() == 0) Close();
}

}  // namespace manager_internal
}  // namespace instar
