// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A connection to the server, or to any other that speaks memcached's text
// protocol.
//
//   Client client(server.port());
//   client.Ask("get colour\r\n");   // "VALUE colour 0 3\r\nred\r\nEND\r\n"
//
// Threads: each by one at a time.

#ifndef INSTAR_EXAMPLES_GINSENG_CLIENT_H_
#define INSTAR_EXAMPLES_GINSENG_CLIENT_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"

namespace ginseng {

class Client {
 public:
  // To that port of 127.0.0.1. If it fails, so does all that is asked.
  explicit Client(int port);

  // Sends one request and waits for its answer. What was received if the
  // connection ends before: less than a whole answer. A value must not have
  // "END\r\n" in it.
  std::string Ask(absl::string_view request);

  // The halves of it, for several requests at a time: the next so many bytes.
  void Send(absl::string_view text);
  std::string Receive(std::size_t bytes);
  // All that is sent until the connection ends.
  std::string ReceiveRest();

 private:
  // False: the connection has ended.
  bool ReceiveMore();

  boost::asio::io_context io_;
  boost::asio::ip::tcp::socket socket_{io_};
  std::string received_;
};

}  // namespace ginseng

#endif  // INSTAR_EXAMPLES_GINSENG_CLIENT_H_
