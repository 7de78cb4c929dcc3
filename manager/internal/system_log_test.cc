// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/internal/system_log.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "manager/internal/system_log_for_test.h"

namespace instar {
namespace {

TEST(SystemLogTest, WritesALine) {
  SystemLogForTest socket;
  const SystemLog log(socket.path());
  EXPECT_TRUE(log.IsThere());
  EXPECT_TRUE(log.Write(SystemLog::Severity::kNotice, "event=applied"));
  EXPECT_EQ(socket.Next(),
            absl::StrCat("<85>instar[", getpid(), "]: event=applied"));
  EXPECT_TRUE(log.Write(SystemLog::Severity::kWarning, "event=failed"));
  EXPECT_EQ(socket.Next(),
            absl::StrCat("<84>instar[", getpid(), "]: event=failed"));
}

TEST(SystemLogTest, WhereItWritesTo) {
  SystemLogForTest socket;
  setenv("INSTAR_SYSLOG", socket.path().c_str(), 1);
  EXPECT_TRUE(SystemLog::FromEnvironment().IsThere());
  setenv("INSTAR_SYSLOG", "off", 1);
  EXPECT_FALSE(SystemLog::FromEnvironment().IsThere());
  unsetenv("INSTAR_SYSLOG");
  EXPECT_FALSE(SystemLog().Write(SystemLog::Severity::kNotice, ""));
}

TEST(SystemLogTest, NeitherWaitsNorFails) {
  for (const std::string& path :
       {std::string("/nowhere"), std::string(200, 'x')}) {
    const SystemLog log(path);
    EXPECT_FALSE(log.IsThere());
    EXPECT_FALSE(log.Write(SystemLog::Severity::kNotice, "lost"));
  }
  // Nobody reads: when no more has room, lines are lost. Datagrams that are
  // longer than the system takes are, too.
  SystemLogForTest socket;
  const SystemLog log(socket.path());
  int written = 0;
  while (log.Write(SystemLog::Severity::kNotice, "taken")) ++written;
  EXPECT_GT(written, 0);
  for (int i = 0; i < written; ++i) socket.Next();
  EXPECT_FALSE(
      log.Write(SystemLog::Severity::kNotice, std::string(100'000'000, 'x')));
  EXPECT_TRUE(log.Write(SystemLog::Severity::kNotice, "again"));
}

TEST(SystemLogTest, AFieldIsOneOfALine) {
  EXPECT_EQ(LogField("module", "/x y/\"é\"\n<3>"),
            " module=\"/x y/\\\"é\\\"\\n<3>\"");
  EXPECT_EQ(LogField("detail", std::string(1001, 'x')),
            absl::StrCat(" detail=\"", std::string(1000, 'x'), "...\""));
}

}  // namespace
}  // namespace instar
