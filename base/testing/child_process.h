// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Children of fork(), and how they end.
//
//   EXPECT_EQ(InAChild([] {
//     if (!BecomeNobody()) return 1;     // for the rest of that process
//     ...
//     return 0;
//   }), 0);

#ifndef INSTAR_BASE_TESTING_CHILD_PROCESS_H_
#define INSTAR_BASE_TESTING_CHILD_PROCESS_H_

#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <optional>
#include <thread>

namespace instar {

// What a child answers, as waitpid() has it: 0 if that is 0, also of a child in
// a child. One that waits for ever is ended by SIGALRM.
inline int InAChild(const std::function<int()>& what) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    const int answer = what();
    _exit(answer != 0 && (answer & 0xff) == 0 ? 1 : answer);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

// Of one that may stand still, and may block the signals by which it would end
// itself.
// As waitpid() says it; nothing if the child has not ended within `limit`: then
// it has been killed.
inline std::optional<int> AwaitChild(pid_t child, std::chrono::seconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  int status = -1;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > end) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      return std::nullopt;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return status;
}

}  // namespace instar

#endif  // INSTAR_BASE_TESTING_CHILD_PROCESS_H_
