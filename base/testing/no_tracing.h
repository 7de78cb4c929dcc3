// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A process in which ptrace(2) fails with EPERM, as a sandbox may have it, or
// is answered in another way.
//
//   EXPECT_EQ(InAChild([] {
//     if (!ForbidTracing()) return 1;   // for the rest of this process
//     ...
//     return 0;
//   }), 0);

#ifndef INSTAR_BASE_TESTING_NO_TRACING_H_
#define INSTAR_BASE_TESTING_NO_TRACING_H_

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

namespace instar {

// A filter that answers one call so, and allows all others.
class FilterOfOneCall {
 public:
  FilterOfOneCall(unsigned number, unsigned answer)
      : filter_{
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, answer),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        } {}
  FilterOfOneCall(const FilterOfOneCall&) = delete;
  FilterOfOneCall& operator=(const FilterOfOneCall&) = delete;

  const sock_fprog& program() const { return program_; }

 private:
  sock_filter filter_[4];
  const sock_fprog program_ = {4, filter_};
};

// Of the calling thread, and of those that it starts. False if the kernel does
// not do that.
inline bool AnswerCall(unsigned number, unsigned answer) {
  const FilterOfOneCall filter(number, answer);
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter.program()) == 0;
}

inline bool ForbidTracing(unsigned answer = SECCOMP_RET_ERRNO | EPERM) {
  return AnswerCall(SYS_ptrace, answer);
}

}  // namespace instar

#endif  // INSTAR_BASE_TESTING_NO_TRACING_H_
