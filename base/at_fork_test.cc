// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/at_fork.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "gtest/gtest.h"

namespace instar {
namespace {

// What was called, one letter each; '!' where SIGTERM was not blocked.
std::string called;

bool IsBlocked() {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return sigismember(&mask, SIGTERM) == 1;
}

void Call(char letter) {
  called += letter;
  if (!IsBlocked()) called += '!';
}

TEST(AtForkTest, InOneOrderWithSignalsBlocked) {
  // Not in the order of the places.
  SetForkHandlers(ForkOrder::kStacks,
                  {[] { Call('s'); }, [] { Call('T'); }, [] { Call('U'); }});
  SetForkHandlers(ForkOrder::kThreads,
                  {[] { Call('a'); }, [] { Call('B'); }, [] { Call('C'); }});
  SetForkHandlers(ForkOrder::kCode, {[] { Call('k'); }, nullptr, nullptr});
  for (int i = 0; i < 2; ++i) {
    called.clear();
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) _exit(called == "aksUC" && !IsBlocked() ? 0 : 1);
    EXPECT_EQ(called, "aksTB");
    EXPECT_FALSE(IsBlocked());
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
}

}  // namespace
}  // namespace instar
