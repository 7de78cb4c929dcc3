// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/ginseng/session.h"

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "boost/asio/buffer.hpp"
#include "boost/asio/write.hpp"
#include "examples/ginseng/requests.h"

namespace ginseng {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

class Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(tcp::socket socket) : socket_(std::move(socket)) {}

  void Read() {
    socket_.async_read_some(
        asio::buffer(received_),
        [self = shared_from_this()](error_code error, std::size_t size) {
          if (!error) self->OnRead(size);
        });
  }

 private:
  void OnRead(std::size_t size) {
    input_.append(received_.data(), size);
    AnswerInput();
  }

  void AnswerInput() {
    output_.clear();
    Taken taken;
    do {
      taken = TakeRequest(&input_, &output_);
    } while (taken == Taken::kOne && output_.size() < kEnough);
    if (output_.empty()) {
      if (taken == Taken::kNone) Read();
      return;
    }
    asio::async_write(
        socket_, asio::buffer(output_),
        [self = shared_from_this(), taken](error_code error, std::size_t) {
          if (error || taken == Taken::kLast) return;
          if (taken == Taken::kOne) {
            self->AnswerInput();
          } else {
            self->Read();
          }
        });
  }

  // Is sent before more requests are answered; bytes.
  static constexpr std::size_t kEnough = std::size_t{256} << 10;

  tcp::socket socket_;  // closed when the session goes
  std::array<char, std::size_t{16} << 10> received_;
  std::string input_;  // that has not been answered
  std::string output_;
};

}  // namespace

void ServeRequests(tcp::socket socket) {
  std::make_shared<Session>(std::move(socket))->Read();
}

}  // namespace ginseng
