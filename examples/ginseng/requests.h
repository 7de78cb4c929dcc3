// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The text protocol of memcached 1.4 (its doc/protocol.txt): get and gets, set,
// add, replace, append, prepend, cas, delete, incr, decr, flush_all, stats,
// version, verbosity, quit. Expiry times are read and not heeded. A key has at
// most 250 bytes, a value at most 1 MiB, what is answered to one request at
// most 64 MiB.
//
// What a client can do wrong: a command that there is not, or that has too few
// words or too many, is answered by ERROR; what is no number, or a key that is
// too long, by CLIENT_ERROR. After a value that is too long (SERVER_ERROR),
// that does not end where it should, or a line of more than 64 KiB
// (CLIENT_ERROR), it is not known where the next request begins: the connection
// is closed. So it is if it begins with the binary protocol, which is not
// spoken.
//
// Threads: any.

#ifndef INSTAR_EXAMPLES_GINSENG_REQUESTS_H_
#define INSTAR_EXAMPLES_GINSENG_REQUESTS_H_

#include <string>
#include <vector>

namespace ginseng {

struct Request {
  std::vector<std::string> words;  // without "noreply"
  std::string data;                // the value that follows some
};

// With its end of line. An update replaces it.
std::string Answer(const Request& request);

// Takes a request from the front of `input`, and appends its answer to
// `output`.
enum class Taken {
  kOne,
  kNone,  // more must be received first
  kLast,  // the connection is to be closed when `output` has been sent
};
Taken TakeRequest(std::string* input, std::string* output);

}  // namespace ginseng

#endif  // INSTAR_EXAMPLES_GINSENG_REQUESTS_H_
