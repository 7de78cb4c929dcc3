// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// For what comes for certain, and of which nobody tells: it is looked for.
//
//   ASSERT_TRUE(Eventually([&] { return access(path, F_OK) == 0; }));

#ifndef INSTAR_BASE_TESTING_EVENTUALLY_H_
#define INSTAR_BASE_TESTING_EVENTUALLY_H_

#include <chrono>
#include <thread>

namespace instar {

// Longer than any test takes, on a busy machine too.
inline constexpr std::chrono::seconds kEventually(50);

// False if it has not come by then. The pauses leave the processor to whoever
// brings it.
template <typename Condition>
bool Eventually(Condition&& has_come,
                std::chrono::seconds limit = kEventually) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (!has_come()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

}  // namespace instar

#endif  // INSTAR_BASE_TESTING_EVENTUALLY_H_
