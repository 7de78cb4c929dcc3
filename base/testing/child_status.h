// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The end of a child that may stand still, and may block the signals by which
// it would end itself.

#ifndef INSTAR_BASE_TESTING_CHILD_STATUS_H_
#define INSTAR_BASE_TESTING_CHILD_STATUS_H_

#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <chrono>
#include <optional>
#include <thread>

namespace instar {

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

#endif  // INSTAR_BASE_TESTING_CHILD_STATUS_H_
