// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Ways to wait in libc, and in libstdc++, one by one: a thread that waits so is
// held. (Those of threads and locks are in interrupted_rendezvous_test.cc.)

#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"

namespace instar {
namespace {

constexpr std::chrono::seconds kLong(10);

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

// Named as the program called it.
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

void AddSignalsAndTime(Ways& ways) {
  ways.Add("pause", [] { pause(); });
  ways.Add("sigsuspend", [] {
    sigset_t none;
    sigemptyset(&none);
    sigsuspend(&none);
  });
  const auto wait_for_signal = [](auto wait) {
    return [wait] {
      sigset_t set;
      sigemptyset(&set);
      sigaddset(&set, SIGUSR2);
      wait(&set);
    };
  };
  const auto send_it = [] { kill(getpid(), SIGUSR2); };
  ways.Add("sigwaitinfo",
           wait_for_signal([](sigset_t* set) { sigwaitinfo(set, nullptr); }),
           send_it);
  ways.Add("sigwait", wait_for_signal([](sigset_t* set) {
             int signal;
             sigwait(set, &signal);
           }),
           send_it);
  ways.Add("read of a signalfd", wait_for_signal([](sigset_t* set) {
             const int file = signalfd(-1, set, SFD_CLOEXEC);
             signalfd_siginfo info;
             const ssize_t got = read(file, &info, sizeof(info));
             (void)got;
             close(file);
           }),
           send_it);
  ways.Add("sleep", [] { sleep(100); });
  ways.Add("thrd_sleep", [] {
    const timespec time = {100, 0};
    thrd_sleep(&time, nullptr);
  });
  ways.Add("sleep_until", [] {
    std::this_thread::sleep_until(std::chrono::steady_clock::now() +
                                  std::chrono::milliseconds(20));
  });
  ways.Add("poll of nothing", [] { poll(nullptr, 0, 100000); });
  ways.Add("syscall(SYS_nanosleep)", [] {
    const timespec time = {100, 0};
    syscall(SYS_nanosleep, &time, nullptr);
  });
  const auto word = std::make_shared<std::atomic<int>>(0);
  ways.Add(
      "syscall(SYS_futex)",
      [=] {
        syscall(SYS_futex, word.get(), FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr,
                0);
      },
      [=] {
        *word = 1;
        syscall(SYS_futex, word.get(), FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr,
                0);
      });
}

void AddProcesses(Ways& ways) {
  const auto child_that_waits = [] {
    const pid_t child = fork();
    if (child == 0) {
      while (true) pause();
    }
    return child;
  };
  const auto add = [&](const char* name, auto wait) {
    const pid_t child = child_that_waits();
    ways.Add(
        name, [=] { wait(child); }, [=] { kill(child, SIGKILL); });
  };
  add("wait4", [](pid_t child) { wait4(child, nullptr, 0, nullptr); });
  add("waitid", [](pid_t child) {
    siginfo_t info;
    waitid(P_PID, static_cast<id_t>(child), &info, WEXITED);
  });
  const auto ends = std::make_shared<Ends>(Ways::Pipe());
  fcntl(ends->write, F_SETFD, FD_CLOEXEC);
  const std::string command =
      "read line </dev/fd/" + std::to_string(ends->read);  // NOLINT
  ways.Add(
      "system",
      [=] {
        const int status = system(command.c_str());
        (void)status;
      },
      [=] { close(std::exchange(ends->write, -1)); });
  const auto more = std::make_shared<Ends>(Ways::Pipe());
  fcntl(more->write, F_SETFD, FD_CLOEXEC);
  ways.Add(
      "pclose",
      [=] {
        FILE* const stream = popen(
            ("read line </dev/fd/" + std::to_string(more->read)).c_str(), "w");
        if (stream != nullptr) pclose(stream);
      },
      [=] { close(std::exchange(more->write, -1)); });
}

void AddQueues(Ways& ways) {
  const std::string name = "/instar_waits_" + std::to_string(getpid());
  mq_attr attributes = {};
  attributes.mq_maxmsg = 1;
  attributes.mq_msgsize = 8;
  for (const bool timed : {false, true}) {
    const mqd_t queue =
        mq_open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600, &attributes);
    mq_unlink(name.c_str());
    if (queue == static_cast<mqd_t>(-1)) continue;  // the kernel has none
    ways.Add(
        timed ? "mq_timedreceive" : "mq_receive",
        [=] {
          char message[8];
          timespec until;
          clock_gettime(CLOCK_REALTIME, &until);
          until.tv_sec += 100;
          if (timed) {
            mq_timedreceive(queue, message, sizeof(message), nullptr, &until);
          } else {
            mq_receive(queue, message, sizeof(message), nullptr);
          }
        },
        [=] {
          timespec now = {};
          mq_timedsend(queue, "x", 1, 0, &now);
        });
  }
  {
    const mqd_t queue =
        mq_open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600, &attributes);
    mq_unlink(name.c_str());
    if (queue != static_cast<mqd_t>(-1)) {
      EXPECT_EQ(mq_send(queue, "x", 1, 0), 0);
      ways.Add(
          "mq_send", [=] { mq_send(queue, "x", 1, 0); },
          [=] {
            char message[8];
            timespec now = {};
            mq_timedreceive(queue, message, sizeof(message), nullptr, &now);
          });
    }
  }
  const int semaphores = semget(IPC_PRIVATE, 1, 0600);
  if (semaphores >= 0) {
    ways.Add(
        "semop",
        [=] {
          sembuf down = {0, -1, 0};
          semop(semaphores, &down, 1);
        },
        [=] { semctl(semaphores, 0, IPC_RMID); });
  }
  const int again = semget(IPC_PRIVATE, 1, 0600);
  if (again >= 0) {
    ways.Add(
        "semtimedop",
        [=] {
          sembuf down = {0, -1, 0};
          const timespec time = {100, 0};
          semtimedop(again, &down, 1, &time);
        },
        [=] { semctl(again, 0, IPC_RMID); });
  }
}

void AddLocks(Ways& ways) {
  const auto add_mutex = [&](const char* name, auto set) {
    auto mutex = std::make_shared<pthread_mutex_t>();
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    set(&attributes);
    pthread_mutex_init(mutex.get(), &attributes);
    pthread_mutex_lock(mutex.get());
    ways.Add(
        name,
        [=] {
          pthread_mutex_lock(mutex.get());
          pthread_mutex_unlock(mutex.get());
        },
        [=, done = std::make_shared<bool>(false)] {
          if (!std::exchange(*done, true)) pthread_mutex_unlock(mutex.get());
        });
  };
  add_mutex("a mutex that inherits priorities", [](pthread_mutexattr_t* a) {
    pthread_mutexattr_setprotocol(a, PTHREAD_PRIO_INHERIT);
  });
  add_mutex("a robust mutex", [](pthread_mutexattr_t* a) {
    pthread_mutexattr_setrobust(a, PTHREAD_MUTEX_ROBUST);
  });
  add_mutex("a recursive mutex", [](pthread_mutexattr_t* a) {
    pthread_mutexattr_settype(a, PTHREAD_MUTEX_RECURSIVE);
  });
  const auto once = std::make_shared<std::once_flag>();
  const auto is_inside = std::make_shared<std::atomic<bool>>(false);
  const auto leave = std::make_shared<std::atomic<bool>>(false);
  const auto first = std::make_shared<std::thread>([=] {
    std::call_once(*once, [&] {
      *is_inside = true;
      while (!*leave) usleep(1000);
    });
  });
  while (!*is_inside) std::this_thread::yield();
  ways.Add(
      "std::call_once", [=] { std::call_once(*once, [] {}); },
      [=] {
        *leave = true;
        if (first->joinable()) first->join();
      });
  struct Slow {
    Slow(std::atomic<bool>* inside, std::atomic<bool>* may_leave) {
      *inside = true;
      while (!*may_leave) usleep(1000);
    }
  };
  const auto guarded_inside = std::make_shared<std::atomic<bool>>(false);
  const auto guarded_leave = std::make_shared<std::atomic<bool>>(false);
  const auto use = [=] {
    static const Slow slow(guarded_inside.get(), guarded_leave.get());
    (void)slow;
  };
  const auto maker = std::make_shared<std::thread>(use);
  while (!*guarded_inside) std::this_thread::yield();
  ways.Add("a static that another thread initializes", use, [=] {
    *guarded_leave = true;
    if (maker->joinable()) maker->join();
  });
  const auto stream = std::make_shared<FILE*>(tmpfile());
  flockfile(*stream);
  ways.Add(
      "flockfile",
      [=] {
        flockfile(*stream);
        funlockfile(*stream);
      },
      [=, done = std::make_shared<bool>(false)] {
        if (!std::exchange(*done, true)) funlockfile(*stream);
      });
  const auto stop = std::make_shared<std::atomic<bool>>(false);
  const auto timed = std::make_shared<std::thread>([=] {
    while (!*stop) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  ways.Add(
      "pthread_timedjoin_np",
      [=] {
        if (!timed->joinable()) return;
        timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += 100;
        if (pthread_timedjoin_np(timed->native_handle(), nullptr, &until) ==
            0) {
          ::new (timed.get()) std::thread;
        }
      },
      [=] { *stop = true; });
}

Ways AllWays() {
  Ways ways;
  AddFiles(ways);
  AddSockets(ways);
  AddSignalsAndTime(ways);
  AddProcesses(ways);
  AddQueues(ways);
  AddLocks(ways);
  return ways;
}

TEST(InterruptedRendezvousWaitsTest, EachIsHeld) {
  // Some wait for it.
  sigset_t used;
  sigemptyset(&used);
  sigaddset(&used, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &used, nullptr);
  // Those that nothing ends but a signal.
  struct sigaction to_nothing = {};
  to_nothing.sa_handler = [](int) {};  // without SA_RESTART
  sigaction(SIGUSR1, &to_nothing, nullptr);
  Ways ways = AllWays();
  EXPECT_GE(ways.all().size(), 40u);
  for (Way& way : ways.all()) {
    std::atomic<bool> begun{false}, stop{false}, ended{false};
    std::atomic<pthread_t> self{};
    ControlledThread thread = StartPassiveThread("waits", [&] {
      self = pthread_self();
      begun = true;
      while (!stop) way.wait();
      ended = true;
    });
    while (!begun) std::this_thread::yield();
    {
      RendezvousOptions options;
      options.limit = kLong;
      const auto rendezvous = Rendezvous::HoldAll(std::move(options));
      EXPECT_TRUE(rendezvous.ok()) << way.name << ": " << rendezvous.status();
    }
    stop = true;
    while (!ended) {
      way.end();
      if (!ended) pthread_kill(self.load(), SIGUSR1);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

}  // namespace
}  // namespace instar
