// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/command_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace site_manager {

absl::StatusOr<CommandClient> CommandClient::Connect(int port) {
  CommandClient client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (client.descriptor_ < 0 ||
      connect(client.descriptor_, reinterpret_cast<sockaddr*>(&address),
              sizeof(address)) != 0) {
    return absl::ErrnoToStatus(
        errno, absl::StrCat("no connection to port ", port, " of 127.0.0.1"));
  }
  return client;
}

CommandClient::CommandClient(CommandClient&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      received_(std::move(other.received_)) {}

CommandClient& CommandClient::operator=(CommandClient&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(received_, other.received_);
  return *this;
}

CommandClient::~CommandClient() {
  if (descriptor_ >= 0) close(descriptor_);
}

absl::StatusOr<std::string> CommandClient::Ask(absl::string_view command) {
  const absl::Status sent = Send(absl::StrCat(command, "\n"));
  if (!sent.ok()) return sent;
  return Receive();
}

absl::Status CommandClient::Send(absl::string_view text) {
  while (!text.empty()) {
    const ssize_t sent =
        send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      text.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno != EINTR) {
      return absl::UnavailableError("the connection is lost");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> CommandClient::Receive() {
  std::size_t end;
  while ((end = received_.find('\n')) == std::string::npos) {
    char buffer[4096];
    const ssize_t got = recv(descriptor_, buffer, sizeof(buffer), 0);
    if (got > 0) {
      received_.append(buffer, static_cast<std::size_t>(got));
    } else if (got == 0 || errno != EINTR) {
      return absl::UnavailableError("the connection was closed");
    }
  }
  std::string line = received_.substr(0, end);
  received_.erase(0, end + 1);
  return line;
}

void CommandClient::ShutDown() { shutdown(descriptor_, SHUT_WR); }

}  // namespace site_manager
