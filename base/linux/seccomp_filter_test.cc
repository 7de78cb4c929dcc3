// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/seccomp_filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vector>

#include "base/testing/child_process.h"
#include "base/testing/no_tracing.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

constexpr SystemCall kTrace = {"ptrace", SYS_ptrace, {PTRACE_SEIZE}};
constexpr SystemCall kNumber = {"getpid", SYS_getpid};
constexpr SystemCall kWrong = {"close", SYS_close, {-1}};

std::vector<FilterVerdict> Verdicts(const std::vector<SystemCall>& calls) {
  std::vector<FilterAnswer> answers(calls.size());
  AskSeccompFilter(calls, absl::MakeSpan(answers));
  std::vector<FilterVerdict> verdicts;
  for (const FilterAnswer& answer : answers) verdicts.push_back(answer.verdict);
  return verdicts;
}

bool HasNoChild() {
  return waitpid(-1, nullptr, __WALL | WNOHANG) == -1 && errno == ECHILD;
}

TEST(SeccompFilterTest, WithoutAFilterEverythingIsAllowed) {
  if (CountSeccompFilters() != 0) GTEST_SKIP() << "a filter is in force";
  EXPECT_EQ(AnswerOfFilter(kTrace).verdict, FilterVerdict::kAllows);
}

TEST(SeccompFilterTest, RefusesWithItsError) {
  const int before = CountSeccompFilters();
  EXPECT_EQ(InAChild([before] {
              if (!ForbidTracing()) return 1;
              if (CountSeccompFilters() <= before && before == 0) return 2;
              const FilterAnswer answer = AnswerOfFilter(kTrace);
              if (answer.verdict != FilterVerdict::kRefuses) return 3;
              if (answer.error != EPERM) return 4;
              return HasNoChild() ? 0 : 5;
            }),
            0);
}

TEST(SeccompFilterTest, WhatEndsTheProcessIsToldApart) {
  EXPECT_EQ(InAChild([] {
              if (!ForbidTracing(SECCOMP_RET_KILL_PROCESS)) return 1;
              const std::vector<FilterVerdict> verdicts =
                  Verdicts({kNumber, kTrace, kTrace, kWrong, kNumber, kTrace});
              const std::vector<FilterVerdict> expected = {
                  FilterVerdict::kAllows, FilterVerdict::kEnds,
                  FilterVerdict::kEnds,   FilterVerdict::kAllows,
                  FilterVerdict::kAllows, FilterVerdict::kEnds};
              if (verdicts != expected) return 2;
              return HasNoChild() ? 0 : 3;
            }),
            0);
}

TEST(SeccompFilterTest, AFilterThatIsNotInForceYet) {
  EXPECT_EQ(
      InAChild([] {
        const FilterOfOneCall coming(SYS_ptrace, SECCOMP_RET_KILL_PROCESS);
        const std::vector<SystemCall> calls = {kNumber, kTrace, kWrong};
        std::vector<FilterAnswer> answers(calls.size());
        const auto ask = [&] {
          AskSeccompFilter(calls, absl::MakeSpan(answers), &coming.program());
          return answers[1].verdict;
        };
        // Whoever may gain privileges may lay none on itself.
        if (geteuid() != 0 && ask() != FilterVerdict::kNotKnown) return 1;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 2;
        if (ask() != FilterVerdict::kEnds) return 3;
        if (answers[0].verdict != FilterVerdict::kAllows) return 4;
        if (answers[2].verdict != FilterVerdict::kAllows) return 5;
        const sock_fprog none = {0, nullptr};
        AskSeccompFilter(calls, absl::MakeSpan(answers), &none);
        if (answers[0].verdict != FilterVerdict::kNotKnown) return 6;
        // It is not in force here.
        if (ptrace(PTRACE_SEIZE, -1, 0, 0) != -1) return 7;
        return HasNoChild() ? 0 : 8;
      }),
      0);
}

TEST(SeccompFilterTest, ASignalIsNotForTheHandlerOfTheProgram) {
  EXPECT_EQ(InAChild([] {
              signal(SIGSYS, [](int) { _exit(9); });
              if (!ForbidTracing(SECCOMP_RET_TRAP)) return 1;
              return AnswerOfFilter(kTrace).verdict == FilterVerdict::kEnds ? 0
                                                                            : 2;
            }),
            0);
}

TEST(SeccompFilterTest, ChildrenThatAreNotNoticed) {
  EXPECT_EQ(InAChild([] {
              signal(SIGCHLD, [](int) { _exit(9); });
              if (!ForbidTracing(SECCOMP_RET_KILL_PROCESS)) return 1;
              AnswerOfFilter(kTrace);
              return 0;
            }),
            0);
}

}  // namespace
}  // namespace instar
