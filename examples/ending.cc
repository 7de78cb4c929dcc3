// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/ending.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "threads/blocking_region.h"

namespace site_manager {

Ending ending;

Ending::Ending() : descriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (descriptor_ < 0) {
    std::perror("site_manager: eventfd");
    std::exit(1);
  }
}

Ending::~Ending() { close(descriptor_); }

void Ending::Announce() {
  // Fails only when it has been announced four thousand million times.
  static_cast<void>(eventfd_write(descriptor_, 1));
}

bool Ending::SleepFor(std::chrono::milliseconds duration) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point until = Clock::now() + duration;
  pollfd wanted = {descriptor_, POLLIN, 0};
  while (true) {
    const int ready = instar::Blocking([&] {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(
          std::max(until - Clock::now(), Clock::duration::zero()));
      return poll(&wanted, 1, static_cast<int>(left.count()));
    });
    if (ready > 0) return false;
    if (ready == 0) return true;
    if (errno != EINTR) {
      std::perror("site_manager: poll");
      std::exit(1);
    }
  }
}

}  // namespace site_manager
