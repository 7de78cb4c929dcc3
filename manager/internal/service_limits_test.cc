// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/internal/service_limits.h"

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstdio>
#include <string>

#include "base/testing/child_process.h"
#include "base/testing/no_tracing.h"
#include "gtest/gtest.h"

namespace instar {
namespace manager_internal {
namespace {

// What is said where a filter answers this call so; 0 if it is that alone.
int IsSaid(unsigned number, unsigned answer, const std::string& remark,
           const std::string& error = "") {
  return InAChild([&] {
    if (!FindServiceLimits().remarks.empty()) return 77;  // another filter
    if (!AnswerCall(number, answer)) return 77;
    const ServiceLimits limits = FindServiceLimits();
    const std::string said =
        limits.remarks.empty() ? "" : limits.remarks.front();
    const std::string message(limits.may_start.message());
    std::fprintf(stderr, "%s\n%s\n", said.c_str(), message.c_str());
    if (said.find(remark) == std::string::npos) return 1;
    if (message.find(error) == std::string::npos) return 2;
    if (limits.remarks.size() != (remark.empty() ? 0 : 1)) return 3;
    return limits.may_start.ok() == error.empty() ? 0 : 4;
  });
}

constexpr unsigned kRefuse = SECCOMP_RET_ERRNO | EPERM;
constexpr unsigned kEnd = SECCOMP_RET_KILL_PROCESS;

TEST(ServiceLimitsTest, NothingIsSaidWithoutAFilter) {
  const ServiceLimits limits = FindServiceLimits();
  if (!limits.remarks.empty()) GTEST_SKIP() << "a filter is in force";
  EXPECT_TRUE(limits.may_start.ok()) << limits.may_start;
}

TEST(ServiceLimitsTest, WhatIsForbiddenIsSaidWithTheLineOfTheUnitFile) {
  EXPECT_EQ(IsSaid(SYS_ptrace, kRefuse, "forbids ptrace(2); in the unit file"),
            0);
  EXPECT_EQ(IsSaid(SYS_ptrace, kEnd, "SystemCallFilter=ptrace"), 0);
  EXPECT_EQ(IsSaid(SYS_unshare, kEnd, "chroot(2)"), 0);
  EXPECT_EQ(IsSaid(SYS_membarrier, kRefuse, "no code can be changed"), 0);
  EXPECT_EQ(IsSaid(SYS_memfd_create, kRefuse, "no module can be loaded"), 0);
}

TEST(ServiceLimitsTest, AFilterThatIsNotInForceYet) {
  EXPECT_EQ(InAChild([] {
              if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 77;
              const FilterOfOneCall coming(SYS_listen, kEnd);
              if (FindServiceLimits(&coming.program()).may_start.ok()) return 1;
              return FindServiceLimits().may_start.ok() ? 0 : 2;
            }),
            0);
}

TEST(ServiceLimitsTest, WhatWouldEndTheProcessKeepsTheManagerFromStarting) {
  EXPECT_EQ(IsSaid(SYS_membarrier, kEnd, "", "SystemCallFilter=membarrier"), 0);
  EXPECT_EQ(IsSaid(SYS_listen, kEnd, "", "SystemCallFilter=listen"), 0);
}

}  // namespace
}  // namespace manager_internal
}  // namespace instar
