// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Processes that can open /proc/self/mem no more, since they have changed their
// user: what was opened before goes on working, and a child of fork(), which
// has nothing that is open, lives.

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "base/linux/maps.h"
#include "base/testing/child_process.h"
#include "base/testing/other_user.h"
#include "code/entry_interception.h"
#include "code/function_entry.h"
#include "code/symbols/function.h"
#include "code/updatable_functions_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using code_test::Answer;
using code_test::Answer2;
using ::testing::HasSubstr;

// As a daemon does that was started by root; another user's process cannot
// change it, and says that it must not be looked into.
bool DropPrivileges() {
  return BecomeNobody() || prctl(PR_SET_DUMPABLE, 0) == 0;
}

bool CanOpenMemory() {
  const int file = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
  if (file >= 0) close(file);
  return file >= 0;
}

// Root without the capability to be somebody else may open it all the same.
bool CanLoseMemory() {
  return InAChild(
             [] { return DropPrivileges() && !CanOpenMemory() ? 0 : 1; }) == 0;
}

class ForkWithoutMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!CanLoseMemory()) GTEST_SKIP() << "root here cannot be somebody else";
  }
};

int g_called = 0;
void CountCall(const InterceptedEntry&) { ++g_called; }

TEST_F(ForkWithoutMemoryTest, ChildrenLive) {
  EXPECT_EQ(InAChild([] {
              const ScopedEntryInterceptor interceptor(
                  [](const InterceptedEntry&) { ++g_called; });
              auto called = EntryInterception::OfAll();
              auto kept = EntryInterception::WithGate({*Function::Of(&Answer2)},
                                                      &CountCall);
              if (!called.ok() || !kept.ok()) return 2;
              auto redirection = Redirect(&Answer, &Answer2);
              if (!redirection.ok()) return 3;
              if (!DropPrivileges() || CanOpenMemory()) return 4;
              int lived = 0;
              for (int i = 0; i < 100; ++i) {
                lived +=
                    InAChild([&called, &kept, &redirection] {
                      if (CanOpenMemory()) return 1;
                      g_called = 0;
                      if (Answer(1) != 201 || Answer2(1) != 201) return 2;
                      if (g_called != 0) return 3;
                      if (!called->Stop().ok() || !kept->Stop().ok()) return 4;
                      // Takes effect by a store.
                      if (!redirection->Undo().ok() || Answer(1) != 101)
                        return 5;
                      // A child of the child.
                      return InAChild([] { return Answer(1) == 101 ? 0 : 1; });
                    }) == 0;
              }
              if (lived != 100) {
                fprintf(stderr, "%d of 100 children lived\n", lived);
                return 5;
              }
              g_called = 0;
              Answer2(1);
              return g_called == 2 ? 0 : 6;  // the parent's interceptions go on
            }),
            0);
}

// As MemoryDenyWriteExecute of systemd does.
bool ForbidWritableCode() {
  constexpr std::uint32_t kBoth = PROT_WRITE | PROT_EXEC;
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, kBoth),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kBoth, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

bool IsWritable(const void* address) {
  bool writable = false;
  VisitMappings([&](const Mapping& mapping) {
    if (!mapping.Contains(reinterpret_cast<std::uintptr_t>(address))) {
      return true;
    }
    writable = mapping.writable;
    return false;
  });
  return writable;
}

// As the workers of a server that was started by root, and forked before they
// became somebody else.
TEST_F(ForkWithoutMemoryTest, ChildChangesCodeThroughItsProtection) {
  EXPECT_EQ(InAChild([] {
              if (!Redirect(&Answer, &Answer2)->Undo().ok()) return 2;
              if (!DropPrivileges()) return 3;
              return InAChild([] {
                if (CanOpenMemory()) return 1;
                auto redirection = Redirect(&Answer2, &Answer);
                if (!redirection.ok()) return 2;
                if (Answer2(1) != 101) return 3;
                if (IsWritable(reinterpret_cast<void*>(&Answer2))) return 4;
                return redirection->Undo().ok() && Answer2(1) == 201 ? 0 : 5;
              });
            }),
            0);
}

TEST_F(ForkWithoutMemoryTest, ChildSaysWhyItCannotChangeCode) {
  EXPECT_EQ(
      InAChild([] {
        if (!Redirect(&Answer, &Answer2)->Undo().ok()) return 2;
        if (!DropPrivileges() || !ForbidWritableCode()) return 3;
        return InAChild([] {
          const absl::Status status = Redirect(&Answer2, &Answer).status();
          EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
          EXPECT_THAT(std::string(status.message()), HasSubstr("not dumpable"));
          return testing::Test::HasFailure() ? 1 : 0;
        });
      }),
      0);
}

TEST_F(ForkWithoutMemoryTest, WhatWasOpenedBeforeWorksAfterwards) {
  EXPECT_EQ(InAChild([] {
              if (!EntryInterception::Preload().ok()) return 2;
              if (!DropPrivileges() || CanOpenMemory()) return 3;
              auto redirection = Redirect(&Answer, &Answer2);
              if (!redirection.ok()) return 4;
              if (Answer(1) != 201) return 5;
              return redirection->Undo().ok() && Answer(1) == 101 ? 0 : 6;
            }),
            0);
}

}  // namespace
}  // namespace instar
