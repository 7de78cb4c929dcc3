// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Those of locks, threads, processes and time.

#include <errno.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "stack/testing/interrupted_calls.h"

namespace instar {
namespace {

// pthread_ functions answer the error.
long FromError(int error) {
  errno = error;
  return error == 0 ? 0 : -1;
}

}  // namespace

void AddLocks(Calls& calls) {
  auto* const word = new std::atomic<std::uint32_t>(0);
  calls.GoesOn(
      "futex with FUTEX_WAIT",
      [=] {
        const long result = syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 0,
                                    nullptr, nullptr, 0);
        // It had changed when the call went on.
        return result == -1 && errno == EAGAIN ? 0 : result;
      },
      [=] {
        *word = 1;
        syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
      });
  calls.ReturnsEintr("futex with FUTEX_WAIT and a timeout", [=] {
    static std::atomic<std::uint32_t> other{0};
    return syscall(SYS_futex, &other, FUTEX_WAIT_PRIVATE, 0, &kTooLong, nullptr,
                   0);
  });
  auto* const semaphore = new sem_t;
  sem_init(semaphore, 0, 0);
  calls.GoesOn(
      "sem_wait", [=] { return sem_wait(semaphore); },
      [=] { sem_post(semaphore); });
  calls.ReturnsEintr("sem_timedwait", [] {
    static sem_t never;
    sem_init(&never, 0, 0);
    timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += kTooManySeconds;
    return sem_timedwait(&never, &until);
  });
  auto* const mutex = new std::mutex;
  mutex->lock();
  calls.GoesOn(
      "pthread_mutex_lock",
      [=] { return FromError(pthread_mutex_lock(mutex->native_handle())); },
      [=] { mutex->unlock(); });
  auto* const timed = new std::timed_mutex;
  timed->lock();
  calls.GoesOn(
      "pthread_mutex_clocklock",
      [=] {
        return timed->try_lock_for(std::chrono::seconds(kTooManySeconds)) - 1;
      },
      [=] { timed->unlock(); });
  struct Condition {
    std::mutex mutex;
    std::condition_variable changed;
    bool is_set = false;
  };
  for (const bool has_limit : {false, true}) {
    auto* const condition = new Condition;
    calls.GoesOn(
        has_limit ? "pthread_cond_clockwait" : "pthread_cond_wait",
        [=] {
          std::unique_lock<std::mutex> lock(condition->mutex);
          const auto is_set = [=] { return condition->is_set; };
          if (has_limit) {
            return condition->changed.wait_for(
                       lock, std::chrono::seconds(kTooManySeconds), is_set) -
                   1;
          }
          condition->changed.wait(lock, is_set);
          return 0;
        },
        [=] {
          const std::lock_guard<std::mutex> lock(condition->mutex);
          condition->is_set = true;
          condition->changed.notify_all();
        });
  }
}

void AddProcesses(Calls& calls) {
  const Pipe keeps;
  const pid_t child = fork();
  if (child == 0) {
    char c;
    close(keeps.ends[1]);
    _exit(read(keeps.ends[0], &c, 1) == 1 ? 0 : 1);
  }
  calls.GoesOn(
      "waitpid", [=] { return waitpid(child, nullptr, 0); }, keeps.WriteOne());
  // A pipe of its own: the child would not get what the thread has read.
  const Pipe keeps_thread;
  auto* const thread = new std::thread([=] {
    char c;
    while (read(keeps_thread.ends[0], &c, 1) < 0) continue;
  });
  calls.GoesOn(
      "pthread_join",
      [=] {
        thread->join();
        return 0;
      },
      keeps_thread.WriteOne());
  const std::string name = "/interrupted_calls." + std::to_string(getpid());
  mq_attr attributes = {};
  attributes.mq_maxmsg = 1;
  attributes.mq_msgsize = 1;
  const mqd_t queue =
      mq_open(name.c_str(), O_RDWR | O_CREAT, 0600, &attributes);
  mq_unlink(name.c_str());
  if (queue >= 0) {  // there may be none in a container
    calls.GoesOn(
        "mq_receive",
        [=] {
          char c;
          return mq_receive(queue, &c, 1, nullptr);
        },
        [=] { mq_send(queue, "x", 1, 0); });
  }
}

void AddWaitsForMany(Calls& calls) {
  const Pipe p;
  const int from = p.ends[0];
  calls.ReturnsEintr("poll", [=] {
    pollfd one = {from, POLLIN, 0};
    return poll(&one, 1, -1);
  });
  calls.ReturnsEintr("ppoll", [=] {
    pollfd one = {from, POLLIN, 0};
    return ppoll(&one, 1, nullptr, nullptr);
  });
  calls.ReturnsEintr("select", [=] {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(from, &set);
    return select(from + 1, &set, nullptr, nullptr, nullptr);
  });
  calls.ReturnsEintr("pselect", [=] {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(from, &set);
    return pselect(from + 1, &set, nullptr, nullptr, nullptr, nullptr);
  });
  const int epoll = epoll_create1(0);
  epoll_event event = {};
  event.events = EPOLLIN;
  epoll_ctl(epoll, EPOLL_CTL_ADD, from, &event);
  calls.ReturnsEintr("epoll_wait", [=] {
    epoll_event got;
    return epoll_wait(epoll, &got, 1, -1);
  });
  calls.ReturnsEintr("epoll_pwait", [=] {
    epoll_event got;
    return epoll_pwait(epoll, &got, 1, -1, nullptr);
  });
  aio_context_t context = 0;
  if (syscall(SYS_io_setup, 1, &context) == 0) {
    calls.ReturnsEintr("io_getevents", [=] {
      io_event got;
      return syscall(SYS_io_getevents, context, 1, 1, &got, nullptr);
    });
  }
}

void AddSleeps(Calls& calls) {
  calls.ReturnsEintr("nanosleep", [] { return nanosleep(&kTooLong, nullptr); });
  calls.ReturnsEintr("clock_nanosleep", [] {
    return FromError(clock_nanosleep(CLOCK_MONOTONIC, 0, &kTooLong, nullptr));
  });
  calls.ReturnsEintr("usleep",
                     [] { return usleep(kTooManySeconds * 1000000u); });
  // It returns what is left.
  calls.ReturnsEintr("sleep", [] {
    return sleep(kTooManySeconds) > 0 ? FromError(EINTR) : 0;
  });
}

void AddSignals(Calls& calls) {
  calls.ReturnsEintr("pause", [] { return pause(); });
  calls.ReturnsEintr("sigsuspend", [] {
    sigset_t none;
    sigemptyset(&none);
    return sigsuspend(&none);
  });
  calls.ReturnsEintr("sigwaitinfo", [] {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return sigwaitinfo(&set, nullptr);
  });
  calls.ReturnsEintr("sigtimedwait", [] {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return sigtimedwait(&set, nullptr, &kTooLong);
  });
}

void AddSystemV(Calls& calls) {
  const int queue = msgget(IPC_PRIVATE, 0600);
  if (queue >= 0) {
    calls.ReturnsEintr("msgrcv", [=] {
      struct {
        long type;
        char text[1];
      } message = {};
      const long result = msgrcv(queue, &message, 1, 0, 0);
      const int error = errno;
      msgctl(queue, IPC_RMID, nullptr);
      errno = error;
      return result;
    });
  }
  for (const bool has_limit : {false, true}) {
    const int set = semget(IPC_PRIVATE, 1, 0600);
    if (set < 0) continue;
    calls.ReturnsEintr(has_limit ? "semtimedop" : "semop", [=] {
      sembuf take = {0, -1, 0};
      const long result = has_limit ? semtimedop(set, &take, 1, &kTooLong)
                                    : semop(set, &take, 1);
      const int error = errno;
      semctl(set, 0, IPC_RMID);
      errno = error;
      return result;
    });
  }
}

}  // namespace instar
