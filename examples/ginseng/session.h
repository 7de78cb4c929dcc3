// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A connection of the server: requests are answered in order, as many in one
// handler as have come.

#ifndef INSTAR_EXAMPLES_GINSENG_SESSION_H_
#define INSTAR_EXAMPLES_GINSENG_SESSION_H_

#include "boost/asio/ip/tcp.hpp"

namespace ginseng {

// Serves the connection until it is closed. Returns at once.
void ServeRequests(boost::asio::ip::tcp::socket socket);

}  // namespace ginseng

#endif  // INSTAR_EXAMPLES_GINSENG_SESSION_H_
