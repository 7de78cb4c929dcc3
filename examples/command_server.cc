// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/command_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "examples/ending.h"
#include "threads/blocking_region.h"

namespace site_manager {
namespace {

constexpr std::size_t kReadAtOnce = 4096;
constexpr std::size_t kUnsentLimit = 65536;

bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK; }

}  // namespace

struct CommandServer::Connection {
  explicit Connection(int d) : descriptor(d) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { close(descriptor); }

  bool IsOver() const {
    return is_broken || (is_read && unanswered == 0 && unsent.empty());
  }

  const int descriptor;
  std::string received;  // the beginning of a line
  std::string unsent;
  int unanswered = 0;        // commands
  bool is_skipping = false;  // the rest of a line that is too long
  bool is_read = false;      // nothing more is read from it
  bool is_broken = false;    // nothing can be sent
};

CommandServer::CommandServer(int listener) : listener_(listener) {}

CommandServer::~CommandServer() { close(listener_); }

std::optional<CommandServer::Command> CommandServer::Next() {
  while (true) {
    while (commands_.empty()) {
      if (!Poll()) return std::nullopt;
    }
    Command command = std::move(commands_.front());
    commands_.pop_front();
    if (!command.too_long) return command;
    Answer(command,
           absl::StrCat("a command has at most ", kLongestCommand, " bytes"));
  }
}

void CommandServer::Answer(const Command& command, const std::string& answer) {
  Connection& connection = *command.from;
  --connection.unanswered;
  connection.unsent += answer + "\n";
  Send(connection);
}

bool CommandServer::Poll() {
  const auto over = std::remove_if(
      connections_.begin(), connections_.end(),
      [](const std::shared_ptr<Connection>& c) { return c->IsOver(); });
  if (over != connections_.end()) can_accept_ = true;
  connections_.erase(over, connections_.end());

  wanted_.clear();
  wanted_.push_back({ending.descriptor(), POLLIN, 0});
  wanted_.push_back({can_accept_ ? listener_ : -1, POLLIN, 0});
  for (const auto& connection : connections_) {
    short events = 0;
    if (!connection->is_read && connection->unsent.size() < kUnsentLimit) {
      events |= POLLIN;
    }
    if (!connection->unsent.empty()) events |= POLLOUT;
    wanted_.push_back({connection->descriptor, events, 0});
  }
  // If descriptors were short, others of the process may have been closed.
  const int limit = can_accept_ ? -1 : 1000;
  const int ready = instar::Blocking(
      [&] { return poll(wanted_.data(), wanted_.size(), limit); });
  if (ready < 0) {
    if (errno == EINTR) return true;
    std::perror("site_manager: poll");
    std::exit(1);
  }
  if (wanted_[0].revents != 0) return false;
  if (ready == 0) can_accept_ = true;
  for (std::size_t i = 2; i < wanted_.size(); ++i) {
    const auto connection = connections_[i - 2];
    const short events = wanted_[i].revents;
    if (events & POLLOUT) Send(*connection);
    if (events & (POLLIN | POLLHUP | POLLERR)) Receive(connection);
  }
  if (wanted_[1].revents != 0) Accept();
  return true;
}

void CommandServer::Accept() {
  while (true) {
    const int descriptor =
        accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (descriptor >= 0) {
      connections_.push_back(std::make_shared<Connection>(descriptor));
      continue;
    }
    if (WouldBlock()) return;
    if (errno == EINTR || errno == ECONNABORTED) continue;
    can_accept_ = false;
    return;
  }
}

void CommandServer::Receive(const std::shared_ptr<Connection>& connection) {
  char buffer[kReadAtOnce];
  const ssize_t got = recv(connection->descriptor, buffer, sizeof(buffer), 0);
  if (got < 0) {
    if (!WouldBlock() && errno != EINTR) connection->is_broken = true;
    return;
  }
  std::string& text = connection->received;
  text.append(buffer, static_cast<std::size_t>(got));
  if (got == 0) {
    connection->is_read = true;
    if (!text.empty()) text += '\n';  // the last line may lack its end
  }
  std::size_t begin = 0;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos;
       begin = end + 1) {
    if (std::exchange(connection->is_skipping, false)) continue;
    std::size_t size = end - begin;
    if (size > 0 && text[end - 1] == '\r') --size;
    const bool too_long = size > kLongestCommand;
    ++connection->unanswered;
    commands_.push_back(
        {too_long ? "" : text.substr(begin, size), connection, too_long});
  }
  text.erase(0, begin);
  if (text.size() > kLongestCommand + 1 && !connection->is_skipping) {
    connection->is_skipping = true;
    ++connection->unanswered;
    commands_.push_back({"", connection, /*too_long=*/true});
  }
  if (connection->is_skipping) text.clear();
}

void CommandServer::Send(Connection& connection) {
  while (!connection.is_broken && !connection.unsent.empty()) {
    const ssize_t sent =
        send(connection.descriptor, connection.unsent.data(),
             connection.unsent.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      connection.unsent.erase(0, static_cast<std::size_t>(sent));
    } else if (WouldBlock()) {
      return;
    } else if (errno != EINTR) {
      connection.is_broken = true;
    }
  }
}

absl::StatusOr<int> Listen(int port) {
  const int listener =
      socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0) return absl::ErrnoToStatus(errno, "cannot make a socket");
  // Connections of a program that has just ended do not keep the port.
  const int yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) !=
          0 ||
      listen(listener, SOMAXCONN) != 0) {
    const absl::Status status = absl::ErrnoToStatus(
        errno, absl::StrCat("cannot listen at port ", port, " of 127.0.0.1"));
    close(listener);
    return status;
  }
  return listener;
}

int PortOf(int listener) {
  sockaddr_in address = {};
  socklen_t size = sizeof(address);
  if (getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) !=
      0) {
    std::perror("site_manager: getsockname");
    std::exit(1);
  }
  return ntohs(address.sin_port);
}

}  // namespace site_manager
