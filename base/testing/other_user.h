// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Tests of processes that become another user's.

#ifndef INSTAR_BASE_TESTING_OTHER_USER_H_
#define INSTAR_BASE_TESTING_OTHER_USER_H_

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

namespace instar {

inline constexpr uid_t kNobody = 65534;

// Makes this process nobody's, as a daemon does that was started by root.
inline bool BecomeNobody() {
  return setresgid(kNobody, kNobody, kNobody) == 0 &&
         setresuid(kNobody, kNobody, kNobody) == 0;
}

// Whether that is possible: root may lack the capabilities, and a namespace the
// number. Tried in a child.
inline bool CanBecomeNobody() {
  const pid_t child = fork();
  if (child == 0) _exit(BecomeNobody() ? 0 : 1);
  int status = -1;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

}  // namespace instar

#endif  // INSTAR_BASE_TESTING_OTHER_USER_H_
