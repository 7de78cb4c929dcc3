// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Ways to wait in libc, and in libstdc++, one by one.

#ifndef INSTAR_THREADS_RENDEZVOUS_TEST_WAYS_TO_WAIT_H_
#define INSTAR_THREADS_RENDEZVOUS_TEST_WAYS_TO_WAIT_H_

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <list>
#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace instar {

// What the thread does, and what lets it end: both may be called again and
// again, until `stop` is set and the thread has ended.
struct Way {
  std::string name;
  std::function<void()> wait;
  std::function<void()> end;
};

struct Ends {
  int read = -1;
  int write = -1;
};

// Each way has descriptors of its own, which stay open.
class Ways {
 public:
  void Add(
      const char* name, std::function<void()> wait,
      std::function<void()> end = [] {}) {
    ways_.push_back({name, std::move(wait), std::move(end)});
  }
  // Waits for the one byte that is never there but at the end.
  void AddOnPipe(const char* name, const std::function<void(int file)>& wait) {
    const Ends ends = Pipe();
    Add(
        name, [=] { wait(ends.read); }, [=] { WriteSome(ends.write); });
  }
  void AddOnSocket(const char* name,
                   const std::function<void(int file)>& wait) {
    const Ends ends = Sockets();
    Add(
        name, [=] { wait(ends.read); }, [=] { WriteSome(ends.write); });
  }
  // Waits for room in what is full.
  void AddOnFull(const char* name, Ends ends,
                 const std::function<void(int file)>& wait) {
    FillUp(ends.write);
    Add(
        name, [=] { wait(ends.write); },
        [=] {
          char bytes[4096];
          while (recv(ends.read, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
          }
          pollfd input = {ends.read, POLLIN, 0};
          while (poll(&input, 1, 0) == 1 &&
                 read(ends.read, bytes, sizeof(bytes)) > 0) {
          }
        });
  }

  static Ends Pipe() {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    return {ends[0], ends[1]};
  }
  static Ends Sockets() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    return {ends[0], ends[1]};
  }

  std::list<Way>& all() { return ways_; }

 private:
  static void WriteSome(int file) {
    const ssize_t written = write(file, "x\nx\nx\nx\n", 8);
    (void)written;
  }
  static void FillUp(int file) {
    const int flags = fcntl(file, F_GETFL);
    fcntl(file, F_SETFL, flags | O_NONBLOCK);
    char bytes[4096] = {};
    while (write(file, bytes, sizeof(bytes)) > 0) {
    }
    while (write(file, bytes, 1) > 0) {
    }
    fcntl(file, F_SETFL, flags);
  }

  std::list<Way> ways_;
};

// Each named as the program called it.
void AddFiles(Ways& ways);
void AddSockets(Ways& ways);
void AddSignalsAndTime(Ways& ways);
void AddProcesses(Ways& ways);
void AddQueues(Ways& ways);
void AddLocks(Ways& ways);

}  // namespace instar

#endif  // INSTAR_THREADS_RENDEZVOUS_TEST_WAYS_TO_WAIT_H_
