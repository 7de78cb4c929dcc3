// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Update functions that count, for tests.

#ifndef INSTAR_UPDATES_THREAD_UPDATES_TEST_COUNTING_H_
#define INSTAR_UPDATES_THREAD_UPDATES_TEST_COUNTING_H_

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "threads/attempt.h"
#include "threads/update_request.h"

namespace instar {

inline UpdateFunction Count(std::atomic<int>& count, int step) {
  return [&count, step](UpdateContext&) {
    count += step;
    return Attempt::Done();
  };
}

inline std::string MessageOf(const absl::Status& status) {
  return std::string(status.message());
}

}  // namespace instar

#endif  // INSTAR_UPDATES_THREAD_UPDATES_TEST_COUNTING_H_
