// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/ginseng/client.h"

#include <array>
#include <cstdint>
#include <utility>

#include "absl/strings/match.h"
#include "boost/asio/buffer.hpp"
#include "boost/asio/write.hpp"

namespace ginseng {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

bool IsWhole(absl::string_view answer) {
  const bool has_end =
      absl::StartsWith(answer, "VALUE ") || absl::StartsWith(answer, "STAT ");
  return absl::EndsWith(answer, has_end ? "\r\nEND\r\n" : "\r\n");
}

}  // namespace

Client::Client(int port) {
  boost::system::error_code ignored;
  socket_.connect(
      {asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(port)},
      ignored);
  socket_.set_option(tcp::no_delay(true), ignored);
}

std::string Client::Ask(absl::string_view request) {
  Send(request);
  while (!IsWhole(received_) && ReceiveMore()) {
  }
  return std::exchange(received_, "");
}

void Client::Send(absl::string_view text) {
  boost::system::error_code ignored;
  asio::write(socket_, asio::buffer(text.data(), text.size()), ignored);
}

std::string Client::Receive(std::size_t bytes) {
  while (received_.size() < bytes && ReceiveMore()) {
  }
  const std::string taken = received_.substr(0, bytes);
  received_.erase(0, taken.size());
  return taken;
}

std::string Client::ReceiveRest() {
  while (ReceiveMore()) {
  }
  return std::exchange(received_, "");
}

bool Client::ReceiveMore() {
  std::array<char, 4096> buffer;
  boost::system::error_code error;
  const std::size_t size = socket_.read_some(asio::buffer(buffer), error);
  received_.append(buffer.data(), size);
  return !error;
}

}  // namespace ginseng
