// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Addresses of an object that the kernel has for the program.

#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/testing/inside.h"
#include "gtest/gtest.h"
#include "manager/module/scan/reference_scan_fixture.h"

namespace instar {
namespace manager_internal {
namespace {

using KernelReferencesTest = ReferenceScanTest;

TEST_F(KernelReferencesTest, AsTheHandlerOfASignal) {
  struct sigaction action = {};
  Plant(&action.sa_handler);
  ASSERT_EQ(sigaction(SIGUSR2, &action, nullptr), 0);
  std::memset(&action, 0, sizeof(action));
  ExpectFound(absl::StrCat("the handler of signal ", SIGUSR2));
  signal(SIGUSR2, SIG_DFL);
}

TEST_F(KernelReferencesTest, InAnEpollOfMany) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::vector<int> copies;
  for (int i = 0; i < 500; ++i) {
    copies.push_back(dup(ends[0]));
    ASSERT_GE(copies.back(), 0);
    epoll_event event = {};
    event.events = EPOLLIN;
    if (i == 400) Plant(&event.data);
    ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, copies.back(), &event), 0);
    std::memset(&event, 0, sizeof(event));
  }
  ExpectFound(absl::StrCat("what epoll ", epoll, " gives"));
  for (const int copy : copies) close(copy);
  close(ends[0]);
  close(ends[1]);
  close(epoll);
}

TEST_F(KernelReferencesTest, InATimer) {
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGUSR2;
  Plant(&event.sigev_value);
  timer_t timer;
  ASSERT_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
  std::memset(&event, 0, sizeof(event));
  ExpectFound("what a timer gives");
  timer_delete(timer);
}

TEST_F(KernelReferencesTest, WhatWaitsInAPipeIsNotSeen) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ExpectNothing();
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  ExpectUnknown(absl::StrCat("what waits in pipe ", ends[0]));
  close(ends[0]);
  close(ends[1]);
}

TEST_F(KernelReferencesTest, WhatWaitsInASocketIsNotSeen) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  ExpectNothing();
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  ExpectUnknown(absl::StrCat("what waits in socket ", ends[0]));
  close(ends[0]);
  close(ends[1]);
}

TEST_F(KernelReferencesTest, WhatComesWithASignalIsNotSeen) {
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGRTMIN);
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  ASSERT_EQ(sigqueue(getpid(), SIGRTMIN, sigval()), 0);
  ExpectUnknown(absl::StrCat("what comes with signal ", SIGRTMIN));
  EXPECT_EQ(sigwaitinfo(&blocked, nullptr), SIGRTMIN);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(KernelReferencesTest, WhatComesWithASignalOfAThreadIsNotSeen) {
  Inside inside([](const Inside::Stay& stay) {
    sigset_t blocked;
    sigset_t before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    EXPECT_EQ(pthread_sigqueue(pthread_self(), SIGUSR2, sigval()), 0);
    stay();
    EXPECT_EQ(sigwaitinfo(&blocked, nullptr), SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  });
  ExpectUnknown(absl::StrCat("what comes with signal ", SIGUSR2));
}

TEST_F(KernelReferencesTest, WhatAMessageQueueNotifiesWithIsNotSeen) {
  const std::string name = absl::StrCat("/instar-scan-test-", getpid());
  const mqd_t queue =
      mq_open(name.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600, nullptr);
  if (queue < 0) GTEST_SKIP() << "no message queues here";
  mq_unlink(name.c_str());
  ExpectUnknown(absl::StrCat("what message queue ", queue));
  mq_close(queue);
}

TEST_F(KernelReferencesTest, AThreadThatTakesNoSignalIsNotSeen) {
  Inside inside([](const Inside::Stay& stay) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    stay();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  });
  ExpectUnknown("one of its threads takes no signal");
}

}  // namespace
}  // namespace manager_internal
}  // namespace instar
