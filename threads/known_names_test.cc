// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/known_names.h"

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/blocking_region.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"
#include "threads/update_point.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using threads_internal::CheckThreadName;
using threads_internal::RemarkOnUpdatePoint;

std::string MessageOf(const absl::Status& status) {
  return std::string(status.message());
}

TEST(KnownNamesTest, AThreadsNameIsKnownFromItsStartAndAfterItsEnd) {
  const absl::Status unknown = CheckThreadName("accountant");
  EXPECT_TRUE(absl::IsNotFound(unknown)) << unknown;
  StartPassiveThread("accountant", [] {}).Join();
  EXPECT_TRUE(CheckThreadName("accountant").ok());
  std::thread other([] { ControlledThisThread thread("auditor"); });
  other.join();
  EXPECT_TRUE(CheckThreadName("auditor").ok());
  const absl::Status misspelt = CheckThreadName("acountant");
  EXPECT_TRUE(absl::IsNotFound(misspelt)) << misspelt;
  EXPECT_THAT(MessageOf(misspelt),
              AllOf(HasSubstr("'acountant'; similar: 'accountant'"),
                    HasSubstr("DeclareThread()")));
}

TEST(KnownNamesTest, AThreadMayBeDeclared) {
  EXPECT_FALSE(CheckThreadName("compaction").ok());
  DeclareThread("compaction");
  EXPECT_TRUE(CheckThreadName("compaction").ok());
}

TEST(KnownNamesTest, APointIsKnownOnceItIsPassedWhileAnUpdateIsUnderWay) {
  EXPECT_THAT(RemarkOnUpdatePoint("between request"),
              HasSubstr("no thread has come to an update point 'between "
                        "request' so far"));
  std::atomic<bool> stop{false};
  ControlledThread thread = StartPassiveThread("client", [&] {
    while (!stop) UpdatePoint("between requests");
  });
  RendezvousOptions options;
  options.point = "between request";
  options.limit = std::chrono::milliseconds(20);
  std::string remark;
  do {
    // It holds the thread if that has not begun.
    static_cast<void>(Rendezvous::HoldAll(options).ok());
    remark = RemarkOnUpdatePoint("between request");
  } while (remark.find("similar") == std::string::npos);
  stop = true;
  EXPECT_THAT(remark, HasSubstr("; similar: 'between requests'"));
  EXPECT_THAT(RemarkOnUpdatePoint("between requests"), IsEmpty());
}

TEST(KnownNamesTest, ARegionsPointIsKnownOnceItIsEntered) {
  EXPECT_NE(RemarkOnUpdatePoint("idle"), "");
  StartPassiveThread("server", [] { Blocking("idle", [] {}); }).Join();
  EXPECT_THAT(RemarkOnUpdatePoint("idle"), IsEmpty());
}

TEST(KnownNamesTest, APointMayBeDeclared) {
  EXPECT_NE(RemarkOnUpdatePoint("at midnight"), "");
  DeclareUpdatePoint("at midnight");
  EXPECT_THAT(RemarkOnUpdatePoint("at midnight"), IsEmpty());
}

// Last: it cannot be taken back.
TEST(KnownNamesTest, OfTooManyNamesNoneIsUnknown) {
  for (int i = 0; i < 1000; ++i) DeclareThread("t" + std::to_string(i));
  DeclareThread("one more");
  EXPECT_TRUE(CheckThreadName("something else").ok());
}

}  // namespace
}  // namespace instar
