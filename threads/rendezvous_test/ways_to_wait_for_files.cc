// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <aio.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "threads/rendezvous_test/ways_to_wait.h"

namespace instar {

void AddFiles(Ways& ways) {
  ways.AddOnPipe("pread of a pipe by preadv2", [](int file) {
    char byte;
    iovec part = {&byte, 1};
    preadv2(file, &part, 1, -1, 0);
  });
  ways.AddOnPipe("fread", [](int file) {
    char byte;
    FILE* const stream = fdopen(dup(file), "r");
    const std::size_t got = fread(&byte, 1, 1, stream);
    (void)got;
    fclose(stream);
  });
  ways.AddOnPipe("getline", [](int file) {
    FILE* const stream = fdopen(dup(file), "r");
    char* line = nullptr;
    std::size_t size = 0;
    const ssize_t got = getline(&line, &size, stream);
    (void)got;
    free(line);
    fclose(stream);
  });
  ways.AddOnPipe("fscanf", [](int file) {
    FILE* const stream = fdopen(dup(file), "r");
    char word[8];
    const int got = fscanf(stream, "%7s", word);
    (void)got;
    fclose(stream);
  });
  ways.AddOnPipe("splice", [](int file) {
    static const Ends to = Ways::Pipe();
    splice(file, nullptr, to.write, nullptr, 1, 0);
  });
  ways.AddOnPipe("tee", [](int file) {
    static const Ends to = Ways::Pipe();
    tee(file, to.write, 1, 0);
  });
  ways.AddOnPipe("epoll_pwait", [](int file) {
    const int set = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event = {};
    event.events = EPOLLIN;
    epoll_ctl(set, EPOLL_CTL_ADD, file, &event);
    epoll_pwait(set, &event, 1, -1, nullptr);
    close(set);
  });
  ways.AddOnPipe("pselect", [](int file) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(file, &set);
    pselect(file + 1, &set, nullptr, nullptr, nullptr, nullptr);
  });
  ways.AddOnFull("write", Ways::Pipe(), [](int file) {
    const ssize_t written = write(file, "x", 1);
    (void)written;
  });
  ways.AddOnFull("writev", Ways::Pipe(), [](int file) {
    iovec part = {const_cast<char*>("x"), 1};
    const ssize_t written = writev(file, &part, 1);
    (void)written;
  });
  ways.AddOnFull("fwrite", Ways::Pipe(), [](int file) {
    FILE* const stream = fdopen(dup(file), "w");
    fputs("x", stream);
    fclose(stream);
  });
  ways.AddOnFull("vmsplice", Ways::Pipe(), [](int file) {
    iovec part = {const_cast<char*>("x"), 1};
    vmsplice(file, &part, 1, 0);
  });
  ways.AddOnFull("sendfile", Ways::Sockets(), [](int file) {
    const int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    off_t at = 0;
    sendfile(file, from, &at, 64);
    close(from);
  });
  const auto lock_file = std::make_shared<int>(fileno(tmpfile()));
  // The lock is another process's.
  const Ends locked = Ways::Pipe();
  const pid_t owner = fork();
  if (owner == 0) {
    struct flock whole = {};
    whole.l_type = F_WRLCK;
    fcntl(*lock_file, F_SETLK, &whole);
    const bool said = write(locked.write, "l", 1) == 1;
    while (said) pause();
    _exit(1);
  }
  char byte;
  EXPECT_EQ(read(locked.read, &byte, 1), 1);
  const auto let_go = [=] { kill(owner, SIGKILL); };
  ways.Add(
      "fcntl(F_SETLKW)",
      [=] {
        struct flock whole = {};
        whole.l_type = F_WRLCK;
        fcntl(*lock_file, F_SETLKW, &whole);
        whole.l_type = F_UNLCK;
        fcntl(*lock_file, F_SETLK, &whole);
      },
      let_go);
  const auto second = std::make_shared<int>(fileno(tmpfile()));
  const auto again = std::make_shared<int>(
      open(("/proc/self/fd/" + std::to_string(*second)).c_str(), O_RDWR));
  struct flock whole = {};
  whole.l_type = F_WRLCK;
  EXPECT_EQ(fcntl(*second, F_OFD_SETLK, &whole), 0);
  ways.Add(
      "fcntl(F_OFD_SETLKW)",
      [=] {
        struct flock all = {};
        all.l_type = F_WRLCK;
        fcntl(*again, F_OFD_SETLKW, &all);
      },
      [=] {
        struct flock all = {};
        all.l_type = F_UNLCK;
        fcntl(*second, F_OFD_SETLK, &all);
      });
  const std::string fifo = std::string(testing::TempDir()) + "/waits_fifo_" +
                           std::to_string(getpid());
  EXPECT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  ways.Add(
      "open of a FIFO",
      [=] {
        const int file = open(fifo.c_str(), O_RDONLY | O_CLOEXEC);
        if (file >= 0) close(file);
      },
      [=] {
        const int file = open(fifo.c_str(), O_RDWR | O_CLOEXEC);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        if (file >= 0) close(file);
      });
  const auto events = std::make_shared<int>(eventfd(0, EFD_CLOEXEC));
  ways.Add(
      "eventfd_read",
      [=] {
        eventfd_t value;
        eventfd_read(*events, &value);
      },
      [=] { eventfd_write(*events, 1); });
  const auto timer =
      std::make_shared<int>(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  ways.Add(
      "read of a timerfd",
      [=] {
        std::uint64_t value;
        const ssize_t got = read(*timer, &value, sizeof(value));
        (void)got;
      },
      [=] {
        itimerspec soon = {};
        soon.it_value.tv_nsec = 1;
        timerfd_settime(*timer, 0, &soon, nullptr);
      });
  ways.AddOnPipe("aio_suspend", [](int file) {
    // Its thread outlives the wait, which may be interrupted.
    auto* const request = new aiocb();
    static char bytes[1];
    request->aio_fildes = file;
    request->aio_buf = bytes;
    request->aio_nbytes = 1;
    if (aio_read(request) != 0) return;
    const aiocb* const requests[] = {request};
    while (aio_error(request) == EINPROGRESS) {
      aio_suspend(requests, 1, nullptr);
    }
    aio_return(request);
    delete request;
  });
}

namespace {

sockaddr_un UnnamedAddress(int* listening) {
  *listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  // The kernel gives it an abstract name.
  EXPECT_EQ(bind(*listening, reinterpret_cast<sockaddr*>(&address),
                 sizeof(address.sun_family)),
            0);
  return address;
}

int ConnectTo(int listening, int flags) {
  sockaddr_un address = {};
  socklen_t size = sizeof(address);
  getsockname(listening, reinterpret_cast<sockaddr*>(&address), &size);
  const int file = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (connect(file, reinterpret_cast<sockaddr*>(&address), size) != 0) {
    close(file);
    return -1;
  }
  return file;
}

}  // namespace

void AddSockets(Ways& ways) {
  ways.AddOnSocket("recvfrom", [](int file) {
    char byte;
    recvfrom(file, &byte, 1, 0, nullptr, nullptr);
  });
  ways.AddOnSocket("recvmsg", [](int file) {
    char byte;
    iovec part = {&byte, 1};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    recvmsg(file, &message, 0);
  });
  ways.AddOnSocket("recvmmsg", [](int file) {
    char byte;
    iovec part = {&byte, 1};
    mmsghdr message = {};
    message.msg_hdr.msg_iov = &part;
    message.msg_hdr.msg_iovlen = 1;
    recvmmsg(file, &message, 1, 0, nullptr);
  });
  ways.AddOnFull("send", Ways::Sockets(),
                 [](int file) { send(file, "x", 1, MSG_NOSIGNAL); });
  ways.AddOnFull("sendmsg", Ways::Sockets(), [](int file) {
    iovec part = {const_cast<char*>("x"), 1};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    sendmsg(file, &message, MSG_NOSIGNAL);
  });
  for (const bool flags : {false, true}) {
    int listening;
    UnnamedAddress(&listening);
    EXPECT_EQ(listen(listening, 8), 0);
    ways.Add(
        flags ? "accept4" : "accept",
        [=] {
          const int file =
              flags ? accept4(listening, nullptr, nullptr, SOCK_CLOEXEC)
                    : accept(listening, nullptr, nullptr);
          if (file >= 0) close(file);
        },
        [=] { close(ConnectTo(listening, 0)); });
  }
  {
    int listening;
    UnnamedAddress(&listening);
    EXPECT_EQ(listen(listening, 0), 0);
    while (ConnectTo(listening, SOCK_NONBLOCK) >= 0) {
    }
    ways.Add(
        "connect",
        [=] {
          const int file = ConnectTo(listening, 0);
          if (file >= 0) close(file);
        },
        [=] {
          pollfd waiting = {listening, POLLIN, 0};
          while (poll(&waiting, 1, 0) == 1) {
            close(accept(listening, nullptr, nullptr));
          }
        });
  }
}

}  // namespace instar
