// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1 over one connection: GET and HEAD of files (examples/opus/files.h).
// Connections stay open for the next request, as the client wishes; one that is
// silent for 30 seconds is closed. Requests that follow each other without
// waiting (pipelining) are answered in order.
//
// What a client can do wrong: another method is answered by 405; what is no
// HTTP by 400, a header of more than 8 KiB by 431, a body of more than 64 KiB
// by 413, and the connection is closed.

#ifndef INSTAR_EXAMPLES_OPUS_HTTP_H_
#define INSTAR_EXAMPLES_OPUS_HTTP_H_

#include "boost/asio/ip/tcp.hpp"
#include "boost/beast/http/message.hpp"
#include "boost/beast/http/string_body.hpp"

namespace file_server {

using Request = boost::beast::http::request<boost::beast::http::string_body>;
using Response = boost::beast::http::response<boost::beast::http::string_body>;

Response Answer(const Request& request);

// Serves the connection until it is closed. Returns at once.
void ServeHttp(boost::asio::ip::tcp::socket socket);

}  // namespace file_server

#endif  // INSTAR_EXAMPLES_OPUS_HTTP_H_
