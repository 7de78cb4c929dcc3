// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "threads/rendezvous_test/ways_to_wait.h"

namespace instar {

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

}  // namespace instar
