// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Handlers as programs write them, for tests: lambdas that are kept in a
// std::function, or given to Asio.

#ifndef INSTAR_UPDATES_MECHANISMS_REDEFINE_TEST_LAMBDAS_FOR_TEST_H_
#define INSTAR_UPDATES_MECHANISMS_REDEFINE_TEST_LAMBDAS_FOR_TEST_H_

#include <functional>

namespace instar {
namespace updates_test {

class Server {
 public:
  // Lambda #1 is inlined into what calls it, lambda #2 is not.
  void OnRead(int size);
  // Runs a lambda by boost::asio::post().
  void Post(int size);

  // What the lambdas' bodies call.
  void Count(int bytes);

  std::function<void(int)> inlined, apart;
  int seen = 0;
};

}  // namespace updates_test
}  // namespace instar

#endif  // INSTAR_UPDATES_MECHANISMS_REDEFINE_TEST_LAMBDAS_FOR_TEST_H_
