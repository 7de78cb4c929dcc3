// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The control server, other threads and other processes.

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "manager/control/control_test/control_server_for_test.h"

namespace instar {
namespace {

TEST_F(ControlServerTest, ItsThreadTakesNoSignals) {
  static std::atomic<pid_t> taken_by;
  struct sigaction action = {}, before = {};
  action.sa_handler = [](int) {
    taken_by.store(static_cast<pid_t>(syscall(SYS_gettid)));
  };
  sigaction(SIGUSR1, &action, &before);
  Start();
  ExpectServing();  // the thread runs
  sigset_t usr1;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &usr1, nullptr);
  kill(getpid(), SIGUSR1);
  ExpectServing();
  EXPECT_EQ(taken_by.load(), 0);
  pthread_sigmask(SIG_UNBLOCK, &usr1, nullptr);  // it is pending for us
  EXPECT_EQ(taken_by.load(), static_cast<pid_t>(syscall(SYS_gettid)));
  sigaction(SIGUSR1, &before, nullptr);
}

// The descriptors of this process.
std::vector<int> OpenDescriptors() {
  std::vector<int> open;
  for (int d = 0; d < 4096; ++d) {
    if (fcntl(d, F_GETFD) >= 0) open.push_back(d);
  }
  return open;
}

TEST_F(ControlServerTest, NothingIsInheritedByAnotherProgram) {
  const std::vector<int> before = OpenDescriptors();
  Start();
  RawClient client(server_->socket_path());
  client.SendRequest(kStatusRequest);
  EXPECT_TRUE(client.Receive().has_value());
  int checked = 0;
  for (const int descriptor : OpenDescriptors()) {
    if (std::count(before.begin(), before.end(), descriptor) > 0) continue;
    EXPECT_EQ(fcntl(descriptor, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC)
        << descriptor;
    ++checked;
  }
  EXPECT_GE(checked, 4);  // two ends, the listener, what wakes the thread
}

TEST_F(ControlServerTest, AForkedChildHoldsNothingUp) {
  Start();
  RawClient client(server_->socket_path());
  client.SendRequest(kStatusRequest);
  EXPECT_TRUE(client.Receive().has_value());
  int hold[2];
  ASSERT_EQ(pipe(hold), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(hold[1]);
    server_.reset();  // must neither wait nor remove the socket
    char end;
    (void)!read(hold[0], &end, 1);
    _exit(0);
  }
  close(hold[0]);
  ExpectServing();
  const std::string path = server_->socket_path();
  server_.reset();
  // The child lives, and has no copy of either socket.
  EXPECT_FALSE(client.Receive().has_value());
  EXPECT_TRUE(absl::IsNotFound(ConnectTo(path).status()));
  close(hold[1]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace instar
