// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Clients that store entries, then ask for them and change them all the time,
// check every answer, and note how long it took.
//
//   LoadOptions options;
//   options.entries = 20000;
//   Load load(server.port(), options);
//   load.AwaitAnswers(100);
//   ... update ...
//   LoadReport report = load.Stop();
//
// Each client has its own part of the entries, so that it knows what every
// answer must be: one request of ten changes an entry, the others get one.
//
// Threads: one. It starts one for each client.

#ifndef INSTAR_EXAMPLES_GINSENG_LOAD_H_
#define INSTAR_EXAMPLES_GINSENG_LOAD_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace ginseng {

struct LoadOptions {
  int entries = 10000;  // as many as clients, or more
  int clients = 4;
  // When a client's next request is due after the one before; 0: when that has
  // been answered.
  std::chrono::microseconds interval{0};
};

struct Answered {
  std::chrono::steady_clock::time_point due;
  // From when it was due on: one that had to wait for the one before counts
  // that, too.
  std::chrono::nanoseconds latency;
  bool is_change;
};

struct LoadReport {
  std::vector<Answered> answers;  // in the order in which they were due
  std::size_t wrong = 0;          // also: none at all
  std::string first_wrong;        // which, and what was expected
};

class Load {
 public:
  // Returns when all entries have been stored.
  Load(int port, const LoadOptions& options);
  ~Load() { Stop(); }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Until each client has had so many answers more, or none.
  void AwaitAnswers(std::size_t each);
  // All requests have been answered then.
  LoadReport Stop();

 private:
  void Work(int port, int client);
  void Note(int client, const Answered& answered);
  void NoteWrong(const std::string& what);

  const LoadOptions options_;
  std::mutex lock_;  // of all that follows
  std::condition_variable changed_;
  int storing_;  // clients
  bool is_stopping_ = false;
  std::vector<std::size_t> counts_;  // of answers, by client
  std::vector<bool> has_ended_;      // by client: the connection has
  LoadReport report_;
  std::vector<std::thread> threads_;
};

}  // namespace ginseng

#endif  // INSTAR_EXAMPLES_GINSENG_LOAD_H_
