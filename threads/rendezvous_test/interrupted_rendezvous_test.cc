// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Threads that are held where they wait in system calls, and those that must
// not be.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"
#include "threads/update_point.h"

namespace instar {
namespace {

RendezvousOptions WithLimit(std::chrono::nanoseconds limit) {
  RendezvousOptions options;
  options.limit = limit;
  return options;
}

void AwaitBegin(const ThreadRef& thread) {
  while (thread.state() == ThreadState::kNew) std::this_thread::yield();
}

// A way to wait, and how to end it. Ways that return EINTR begin again.
struct Way {
  std::string name;
  std::function<void()> wait;
  std::function<void()> end;
};

// Each with a thing of its own to wait for.
std::list<Way> AllWays() {
  std::list<Way> ways;
  const auto on_pipe = [&](const char* name, std::function<void(int)> wait) {
    auto ends = std::make_shared<std::array<int, 2>>();
    EXPECT_EQ(pipe(ends->data()), 0);
    ways.push_back(Way{name, [=] { wait((*ends)[0]); },
                       [=] { EXPECT_EQ(write((*ends)[1], "x\n", 2), 2); }});
  };
  const auto until_stopped = [&](const char* name, std::function<void()> wait) {
    auto stop = std::make_shared<std::atomic<bool>>(false);
    ways.push_back(Way{name,
                       [=] {
                         while (!*stop) wait();
                       },
                       [=] { *stop = true; }});
  };
  on_pipe("read", [](int file) {
    char byte;
    EXPECT_EQ(read(file, &byte, 1), 1);
  });
  on_pipe("readv", [](int file) {
    char byte;
    iovec part = {&byte, 1};
    EXPECT_EQ(readv(file, &part, 1), 1);
  });
  on_pipe("fgets", [](int file) {
    FILE* const stream = fdopen(file, "r");
    char line[8];
    EXPECT_NE(fgets(line, sizeof(line), stream), nullptr);
  });
  on_pipe("poll", [](int file) {
    pollfd input = {file, POLLIN, 0};
    while (poll(&input, 1, -1) < 0) {
    }
  });
  on_pipe("ppoll", [](int file) {
    pollfd input = {file, POLLIN, 0};
    while (ppoll(&input, 1, nullptr, nullptr) < 0) {
    }
  });
  on_pipe("select", [](int file) {
    fd_set set;
    do {
      FD_ZERO(&set);
      FD_SET(file, &set);
    } while (select(file + 1, &set, nullptr, nullptr, nullptr) < 0);
  });
  on_pipe("epoll_wait", [](int file) {
    const int set = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event = {};
    event.events = EPOLLIN;
    EXPECT_EQ(epoll_ctl(set, EPOLL_CTL_ADD, file, &event), 0);
    while (epoll_wait(set, &event, 1, -1) < 0) {
    }
    close(set);
  });
  {
    auto ends = std::make_shared<std::array<int, 2>>();
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends->data()), 0);
    ways.push_back(Way{"recv",
                       [=] {
                         char byte;
                         EXPECT_EQ(recv((*ends)[0], &byte, 1, 0), 1);
                       },
                       [=] { EXPECT_EQ(send((*ends)[1], "x", 1, 0), 1); }});
  }
  until_stopped("nanosleep", [] {
    const timespec time = {0, 20000000};
    nanosleep(&time, nullptr);
  });
  until_stopped("clock_nanosleep", [] {
    const timespec time = {0, 20000000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
  });
  until_stopped("usleep", [] { usleep(20000); });
  until_stopped("sleep_for", [] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  });
  until_stopped("sigtimedwait", [] {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    const timespec time = {0, 20000000};
    sigtimedwait(&set, nullptr, &time);
  });
  {
    auto semaphore = std::make_shared<sem_t>();
    sem_init(semaphore.get(), 0, 0);
    ways.push_back(Way{"sem_wait",
                       [=] {
                         while (sem_wait(semaphore.get()) != 0) {
                         }
                       },
                       [=] { sem_post(semaphore.get()); }});
  }
  {
    auto semaphore = std::make_shared<sem_t>();
    sem_init(semaphore.get(), 0, 0);
    ways.push_back(Way{"sem_timedwait",
                       [=] {
                         timespec until;
                         clock_gettime(CLOCK_REALTIME, &until);
                         until.tv_sec += 100;
                         while (sem_timedwait(semaphore.get(), &until) != 0) {
                         }
                       },
                       [=] { sem_post(semaphore.get()); }});
  }
  {
    auto lock = std::make_shared<std::mutex>();
    lock->lock();
    ways.push_back(Way{"std::mutex::lock",
                       [=] { std::lock_guard<std::mutex> guard(*lock); },
                       [=] { lock->unlock(); }});
  }
  {
    auto lock = std::make_shared<std::timed_mutex>();
    lock->lock();
    ways.push_back(Way{"std::timed_mutex",
                       [=] {
                         EXPECT_TRUE(
                             lock->try_lock_for(std::chrono::seconds(100)));
                         lock->unlock();
                       },
                       [=] { lock->unlock(); }});
  }
  for (const bool shared : {false, true}) {
    auto lock = std::make_shared<std::shared_mutex>();
    lock->lock();
    ways.push_back(Way{shared ? "lock_shared" : "std::shared_mutex::lock",
                       [=] {
                         if (shared) {
                           lock->lock_shared();
                           lock->unlock_shared();
                         } else {
                           lock->lock();
                           lock->unlock();
                         }
                       },
                       [=] { lock->unlock(); }});
  }
  struct Condition {
    std::mutex lock;
    std::condition_variable changed;
    bool set = false;
    void Set() {
      std::lock_guard<std::mutex> guard(lock);
      set = true;
      changed.notify_all();
    }
  };
  {
    auto condition = std::make_shared<Condition>();
    ways.push_back(Way{"std::condition_variable::wait",
                       [=] {
                         std::unique_lock<std::mutex> lock(condition->lock);
                         condition->changed.wait(
                             lock, [&] { return condition->set; });
                       },
                       [=] { condition->Set(); }});
  }
  {
    auto condition = std::make_shared<Condition>();
    ways.push_back(Way{"std::condition_variable::wait_for",
                       [=] {
                         std::unique_lock<std::mutex> lock(condition->lock);
                         condition->changed.wait_for(
                             lock, std::chrono::seconds(100),
                             [&] { return condition->set; });
                       },
                       [=] { condition->Set(); }});
  }
  {
    auto promise = std::make_shared<std::promise<void>>();
    ways.push_back(Way{"std::future::wait",
                       [=] { promise->get_future().wait(); },
                       [=] { promise->set_value(); }});
  }
  {
    auto barrier = std::make_shared<pthread_barrier_t>();
    pthread_barrier_init(barrier.get(), nullptr, 2);
    ways.push_back(Way{"pthread_barrier_wait",
                       [=] { pthread_barrier_wait(barrier.get()); },
                       [=] { pthread_barrier_wait(barrier.get()); }});
  }
  for (const bool plain : {false, true}) {
    auto stop = std::make_shared<std::atomic<bool>>(false);
    const auto body = [=] {
      while (!*stop) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    };
    if (plain) {
      auto* const argument = new std::function<void()>(body);
      pthread_t thread;
      EXPECT_EQ(pthread_create(
                    &thread, nullptr,
                    [](void* function) -> void* {
                      std::unique_ptr<std::function<void()>> run(
                          static_cast<std::function<void()>*>(function));
                      (*run)();
                      return nullptr;
                    },
                    argument),
                0);
      ways.push_back(Way{"pthread_join", [=] { pthread_join(thread, nullptr); },
                         [=] { *stop = true; }});
    } else {
      auto thread = std::make_shared<std::thread>(body);
      ways.push_back(Way{"std::thread::join", [=] { thread->join(); },
                         [=] { *stop = true; }});
    }
  }
  {
    auto child = std::make_shared<pid_t>(fork());
    if (*child == 0) {
      while (true) pause();
    }
    ways.push_back(Way{"waitpid",
                       [=] {
                         int status;
                         waitpid(*child, &status, 0);
                       },
                       [=] { kill(*child, SIGKILL); }});
  }
  {
    const int queue = msgget(IPC_PRIVATE, 0600);
    if (queue >= 0) {
      ways.push_back(Way{"msgrcv",
                         [=] {
                           struct {
                             long type;
                             char text[8];
                           } message;
                           while (msgrcv(queue, &message, 8, 0, 0) < 0 &&
                                  errno == EINTR) {
                           }
                         },
                         [=] { msgctl(queue, IPC_RMID, nullptr); }});
    }
  }
  {
    FILE* const file = tmpfile();
    FILE* const again =
        fopen(("/proc/self/fd/" + std::to_string(fileno(file))).c_str(), "r+");
    EXPECT_EQ(flock(fileno(file), LOCK_EX), 0);
    ways.push_back(Way{"flock",
                       [=] {
                         while (flock(fileno(again), LOCK_EX) != 0) {
                         }
                       },
                       [=] { flock(fileno(file), LOCK_UN); }});
  }
  return ways;
}

TEST(InterruptedRendezvousTest, EveryWayToWaitIsHeld) {
  for (Way& way : AllWays()) {
    std::atomic<bool> begun{false};
    ControlledThread thread = StartPassiveThread("waits", [&] {
      begun = true;
      way.wait();
    });
    while (!begun) std::this_thread::yield();
    const auto rendezvous =
        Rendezvous::HoldAll(WithLimit(std::chrono::seconds(5)));
    EXPECT_TRUE(rendezvous.ok()) << way.name << ": " << rendezvous.status();
    way.end();
  }
}

TEST(InterruptedRendezvousTest, TwoThousandAtOneRendezvous) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  {
    std::list<ControlledThread> threads;
    for (int i = 0; i < 2000; ++i) {
      threads.push_back(StartPassiveThread("reads", [&] {
        char byte;
        EXPECT_EQ(read(ends[0], &byte, 1), 0);
      }));
    }
    for (const ControlledThread& thread : threads) AwaitBegin(thread);
    {
      const auto rendezvous =
          Rendezvous::HoldAll(WithLimit(std::chrono::seconds(20)));
      ASSERT_TRUE(rendezvous.ok()) << rendezvous.status();
      EXPECT_EQ(rendezvous->threads().size(), 2000u);
    }
    close(ends[1]);
  }
  close(ends[0]);
}

}  // namespace

// As an allocator does that waits.
struct Arena {};
int interruptions = 0;
std::atomic<bool> inside{false};
std::atomic<bool> stop_arena{false};

}  // namespace instar

__attribute__((noinline)) void* operator new(std::size_t size, instar::Arena) {
  instar::inside = true;
  while (!instar::stop_arena) {
    const timespec time = {0, 50000000};
    if (nanosleep(&time, nullptr) != 0) ++instar::interruptions;
  }
  return ::operator new(size);
}

namespace instar {
namespace {

// A thread that may not be held where it waits is not interrupted for ever.
TEST(InterruptedRendezvousTest, WhereOneMayNotStayItIsSeldomInterrupted) {
  {
    ControlledThread thread =
        StartPassiveThread("allocates", [&] { delete new (Arena()) int; });
    while (!inside) std::this_thread::yield();
    for (int i = 0; i < 10; ++i) {
      EXPECT_FALSE(
          Rendezvous::HoldAll(WithLimit(std::chrono::milliseconds(50))).ok());
    }
    stop_arena = true;
  }
  // Each attempt looks once where it is, to name it.
  EXPECT_LE(interruptions, 10 + 20);
}

}  // namespace
}  // namespace instar
