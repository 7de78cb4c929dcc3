// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Those of files and sockets.

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "stack/testing/interrupted_calls.h"

namespace instar {
namespace {

int OpenTemporary() {
  char path[] = "/tmp/interrupted_calls.XXXXXX";
  const int file = mkstemp(path);
  unlink(path);
  return file;
}

struct SocketPair {
  SocketPair() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0); }
  void Limit(int option) const {
    const timeval limit = {kTooManySeconds, 0};
    EXPECT_EQ(setsockopt(ends[0], SOL_SOCKET, option, &limit, sizeof(limit)),
              0);
  }
  void Fill() const {
    const std::vector<char> page(4096);
    while (send(ends[0], page.data(), page.size(), MSG_DONTWAIT) > 0) continue;
  }
  std::function<void()> WriteOne() const {
    return [to = ends[1]] { EXPECT_EQ(write(to, "x", 1), 1); };
  }
  std::function<void()> Drain() const {
    return [from = ends[1]] {
      std::vector<char> all(1 << 20);
      EXPECT_GT(read(from, all.data(), all.size()), 0);
    };
  }
  int ends[2];
};

struct Listener {
  Listener() : socket(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un any = {};
    any.sun_family = AF_UNIX;
    // The kernel finds a name.
    EXPECT_EQ(
        bind(socket, reinterpret_cast<sockaddr*>(&any), sizeof(any.sun_family)),
        0);
    EXPECT_EQ(listen(socket, 5), 0);
  }
  std::function<void()> Connect() const {
    return [listener = socket] {
      sockaddr_un where = {};
      socklen_t size = sizeof(where);
      getsockname(listener, reinterpret_cast<sockaddr*>(&where), &size);
      const int client = ::socket(AF_UNIX, SOCK_STREAM, 0);
      EXPECT_EQ(connect(client, reinterpret_cast<sockaddr*>(&where), size), 0);
    };
  }
  int socket;
};

const std::string& Fifo() {
  static const std::string path = [] {
    std::string made =
        "/tmp/interrupted_calls.fifo." + std::to_string(getpid());
    mkfifo(made.c_str(), 0600);
    return made;
  }();
  return path;
}

}  // namespace

void AddFiles(Calls& calls) {
  {
    const Pipe p;
    calls.GoesOn(
        "read",
        [=] {
          char c;
          return read(p.ends[0], &c, 1);
        },
        p.WriteOne());
  }
  {
    const Pipe p;
    calls.GoesOn(
        "readv",
        [=] {
          char c;
          const iovec to = {&c, 1};
          return readv(p.ends[0], &to, 1);
        },
        p.WriteOne());
  }
  {
    const Pipe p;
    p.Fill();
    calls.GoesOn(
        "write", [=] { return write(p.ends[1], "x", 1); }, p.Drain());
  }
  {
    const Pipe p;
    p.Fill();
    calls.GoesOn(
        "writev",
        [=] {
          char c = 'x';
          const iovec from = {&c, 1};
          return writev(p.ends[1], &from, 1);
        },
        p.Drain());
  }
  const int event = eventfd(0, 0);
  calls.GoesOn(
      "read of an eventfd",
      [=] {
        std::uint64_t count;
        return read(event, &count, 8);
      },
      [=] { EXPECT_EQ(eventfd_write(event, 1), 0); });
  const int timer = timerfd_create(CLOCK_MONOTONIC, 0);
  calls.GoesOn(
      "read of a timerfd",
      [=] {
        std::uint64_t count;
        return read(timer, &count, 8);
      },
      [=] {
        const itimerspec now = {{}, {0, 1}};
        EXPECT_EQ(timerfd_settime(timer, 0, &now, nullptr), 0);
      });
  const int watch = inotify_init();
  calls.GoesOn(
      "read of an inotify descriptor",
      [=] {
        char all[4096];
        return read(watch, all, sizeof(all));
      },
      [=] {
        EXPECT_GE(inotify_add_watch(watch, "/tmp", IN_ALL_EVENTS), 0);
        close(OpenTemporary());
      });
  calls.GoesOn(
      "open of a FIFO", [] { return open(Fifo().c_str(), O_RDONLY); },
      [] {
        EXPECT_GE(open(Fifo().c_str(), O_WRONLY), 0);
        unlink(Fifo().c_str());
      });
  const int file = OpenTemporary();
  const int other = open(("/proc/self/fd/" + std::to_string(file)).c_str(),
                         O_RDWR | O_CLOEXEC);
  flock(file, LOCK_EX);
  calls.GoesOn(
      "flock", [=] { return flock(other, LOCK_EX); },
      [=] { flock(file, LOCK_UN); });
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  const int locked = OpenTemporary();
  const int again = open(("/proc/self/fd/" + std::to_string(locked)).c_str(),
                         O_RDWR | O_CLOEXEC);
  // Those of an open file, since those of a process do not shut it out.
  fcntl(locked, F_OFD_SETLK, &lock);
  calls.GoesOn(
      "fcntl with F_OFD_SETLKW",
      [=]() mutable { return fcntl(again, F_OFD_SETLKW, &lock); },
      [=]() mutable {
        lock.l_type = F_UNLCK;
        fcntl(locked, F_OFD_SETLK, &lock);
      });
}

void AddSockets(Calls& calls) {
  {
    const SocketPair s;
    calls.GoesOn(
        "recv",
        [=] {
          char c;
          return recv(s.ends[0], &c, 1, 0);
        },
        s.WriteOne());
  }
  {
    const SocketPair s;
    calls.GoesOn(
        "recvmsg",
        [=] {
          char c;
          iovec to = {&c, 1};
          msghdr message = {};
          message.msg_iov = &to;
          message.msg_iovlen = 1;
          return recvmsg(s.ends[0], &message, 0);
        },
        s.WriteOne());
  }
  {
    const SocketPair s;
    s.Fill();
    calls.GoesOn(
        "send", [=] { return send(s.ends[0], "x", 1, 0); }, s.Drain());
  }
  const Listener listener;
  calls.GoesOn(
      "accept", [=] { return accept(listener.socket, nullptr, nullptr); },
      listener.Connect());
  // With a limit.
  for (const char* name : {"recv", "read"}) {
    const SocketPair s;
    s.Limit(SO_RCVTIMEO);
    const bool receives = std::string(name) == "recv";
    calls.ReturnsEintr(receives ? "recv with SO_RCVTIMEO"
                                : "read of a socket with SO_RCVTIMEO",
                       [=] {
                         char c;
                         return receives ? recv(s.ends[0], &c, 1, 0)
                                         : read(s.ends[0], &c, 1);
                       });
  }
  const Listener limited;
  const timeval limit = {kTooManySeconds, 0};
  setsockopt(limited.socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  calls.ReturnsEintr("accept with SO_RCVTIMEO",
                     [=] { return accept(limited.socket, nullptr, nullptr); });
  const SocketPair s;
  s.Limit(SO_SNDTIMEO);
  s.Fill();
  calls.ReturnsEintr("send with SO_SNDTIMEO",
                     [=] { return send(s.ends[0], "x", 1, 0); });
}

}  // namespace instar
