// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// How long tests wait for a moment that is safe.

#ifndef INSTAR_UPDATES_TESTING_WITHIN_H_
#define INSTAR_UPDATES_TESTING_WITHIN_H_

#include <chrono>

#include "updates/update.h"

namespace instar {

inline ApplyOptions Within(std::chrono::nanoseconds limit) {
  ApplyOptions options;
  options.timeout = limit;
  return options;
}
// For what takes effect; and for what must not.
inline const ApplyOptions kPatiently = Within(std::chrono::seconds(120));
inline const ApplyOptions kBriefly = Within(std::chrono::milliseconds(50));

}  // namespace instar

#endif  // INSTAR_UPDATES_TESTING_WITHIN_H_
