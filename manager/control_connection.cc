// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control_connection.h"

#include <poll.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/error_code.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace instar {
namespace manager_internal {
namespace {

using boost::system::error_code;

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

Connection::Connection(Socket socket, ControlService& service,
                       std::shared_ptr<Mailbox> mailbox,
                       const ControlServerLimits& limits,
                       std::function<void(Connection*)> on_close)
    : socket_(std::move(socket)),
      closed_in_child_(std::in_place, socket_.native_handle()),
      service_(service),
      mailbox_(std::move(mailbox)),
      limits_(limits),
      on_close_(std::move(on_close)) {}

void Connection::Close() {
  if (std::exchange(is_closed_, true)) return;
  closed_in_child_.reset();
  error_code ignored;  // the descriptor is gone in any case
  socket_.close(ignored);
  on_close_(this);
}

void Connection::Receive() {
  if (is_receiving_ || has_ended_ || is_closed_) return;
  is_receiving_ = true;
  socket_.async_read_some(
      boost::asio::buffer(received_),
      [self = shared_from_this()](error_code error, std::size_t size) {
        self->is_receiving_ = false;
        if (self->is_closed_) return;
        if (error == boost::asio::error::eof) return self->OnEnd();
        if (error) return self->Close();
        self->parser_.Append({self->received_.data(), size});
        self->HandleFrames();
      });
}

void Connection::OnEnd() {
  has_ended_ = true;
  if (IsHungUp(socket_.native_handle())) return Close();
  if (!parser_.is_at_boundary()) {
    Send(EncodeError(0, absl::InvalidArgumentError(
                            "the connection ended within a request")));
  }
  CloseIfDone();
}

// Called again when something has been sent.
void Connection::HandleFrames() {
  while (!is_closed_ && !has_ended_ && Unsent() < limits_.unsent_bytes) {
    const auto frame = parser_.Next();
    if (!frame.ok()) {
      has_ended_ = true;
      Send(EncodeError(0, frame.status()));
      return CloseIfDone();
    }
    if (!frame->has_value()) return Receive();
    Handle(**frame);
  }
}

void Connection::Handle(absl::string_view frame) {
  const DecodedRequest decoded = DecodeRequest(frame);
  const std::int64_t id = decoded.id;
  if (!decoded.request.ok()) {
    return Send(EncodeError(id, decoded.request.status()));
  }
  const Request& request = *decoded.request;
  switch (request.command) {
    case Command::kProgram:
      return Send(EncodeReply<ProgramReport>(id, service_.Program()));
    case Command::kStatus:
      return Send(EncodeReply<StatusReport>(id, service_.Status()));
    case Command::kLog:
      return Send(EncodeReply(id, Latest(service_.Journal(), request.entries)));
    case Command::kCancel: {
      auto updates = service_.Cancel(request.update);
      if (!updates.ok()) return Send(EncodeError(id, updates.status()));
      return Send(
          EncodeReply<CancelReport>(id, CancelReport{*std::move(updates)}));
    }
    case Command::kCheck:
      if (!AddOutstanding(id)) return;
      return service_.Check(request.path, ReplyLater<CheckReport>(id));
    case Command::kLoad:
      if (!AddOutstanding(id)) return;
      return service_.Load(request.path, request.timeout,
                           ReplyLater<UpdateReport>(id));
    case Command::kUndo:
      if (!AddOutstanding(id)) return;
      return service_.Undo(request.update, request.timeout,
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
  if (!sending_.empty() || unsent_.empty()) return;
  sending_.swap(unsent_);
  boost::asio::async_write(
      socket_, boost::asio::buffer(sending_),
      [self = shared_from_this()](error_code error, std::size_t) {
        if (self->is_closed_) return;
        if (error) return self->Close();
        self->sending_.clear();
        self->SendUnsent();
        if (!self->is_receiving_) self->HandleFrames();
        self->CloseIfDone();
      });
}

void Connection::CloseIfDone() {
  if (has_ended_ && outstanding_ == 0 && Unsent() == 0) Close();
}

}  // namespace manager_internal
}  // namespace instar
