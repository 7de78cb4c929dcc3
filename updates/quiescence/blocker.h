// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What an update waits for, for people.

#ifndef INSTAR_UPDATES_QUIESCENCE_BLOCKER_H_
#define INSTAR_UPDATES_QUIESCENCE_BLOCKER_H_

#include <sys/types.h>

#include <chrono>
#include <string>

namespace instar {

struct Blocker {
  std::string thread;  // its name; empty if it is no thread that blocks
  pid_t tid = 0;
  std::string function;  // demangled; empty if unknown
  int frame = -1;        // its depth on that stack, 0 is the innermost
  std::chrono::nanoseconds since{};  // for how long
  std::string reason;                // a sentence, without the thread's name
  std::string remedy;  // what would help; empty if nothing is known
};

// In one sentence: "thread 'worker' (12): it comes to no update point, for 30
// ms (an UpdatePoint() in its loop)".
std::string ToString(const Blocker& blocker);

}  // namespace instar

#endif  // INSTAR_UPDATES_QUIESCENCE_BLOCKER_H_
