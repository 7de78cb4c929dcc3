// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/redefine_test/lambdas_for_test.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace instar {
namespace updates_test {

void Server::OnRead(int size) {
  inlined = [this, size](int bytes) { Count(size + bytes); };
  apart = [ this, size ](int bytes) __attribute__((noinline)) {
    Count(size * bytes);
  };
}

void Server::Post(int size) {
  boost::asio::io_context context;
  boost::asio::post(context, [this, size] { Count(size); });
  context.run();
}

void Server::Count(int bytes) { seen += bytes; }

}  // namespace updates_test
}  // namespace instar
