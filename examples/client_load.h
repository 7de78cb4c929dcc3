// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Clients of the site manager that send commands without a pause, each over a
// connection of its own, and check every answer.
//
//   ClientLoad load(port, 50);
//   load.AwaitAnswers(10);          // of each client, from now on
//   ... updates ...
//   LoadReport report = load.Stop();
//
// Each client orders one product and rates one, by turns. An order is answered
// alike by all versions of the program; a rating is what the version with
// ratings accepts and the one without refuses. What answers tell about their
// versions is put together by FewestChanges().
//
// Threads: one. It starts one for each client.

#ifndef INSTAR_EXAMPLES_CLIENT_LOAD_H_
#define INSTAR_EXAMPLES_CLIENT_LOAD_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace site_manager {

// One command that was answered: somewhere between these times it was done.
struct Answered {
  std::chrono::steady_clock::time_point sent;
  std::chrono::steady_clock::time_point received;
  bool with_ratings;  // by the version that has them
};

// How often the program must have changed its version at least, given that it
// began without ratings and that each change is one moment for all clients.
// More than the updates that were made: answers came from a mixture.
int FewestChanges(const std::vector<Answered>& answers);

struct LoadReport {
  std::size_t sent = 0;
  std::size_t answered = 0;
  std::map<std::string, int> ordered;  // "chair Brest": so many
  std::size_t rated = 0;
  std::size_t refused_ratings = 0;
  int fewest_changes = 0;
  std::chrono::nanoseconds longest{};  // from a command to its answer
  std::vector<std::string> errors;     // the first of each client
};

class ClientLoad {
 public:
  ClientLoad(int port, int clients);
  ~ClientLoad();
  ClientLoad(const ClientLoad&) = delete;
  ClientLoad& operator=(const ClientLoad&) = delete;

  // Until each client has had so many answers more, or an error.
  void AwaitAnswers(int each) const;
  // All clients have an answer to everything that they sent, and are gone.
  LoadReport Stop();

 private:
  struct Client;
  void Work(Client& client, int port, int number);

  std::atomic<bool> is_stopping_{false};
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::thread> threads_;
};

}  // namespace site_manager

#endif  // INSTAR_EXAMPLES_CLIENT_LOAD_H_
