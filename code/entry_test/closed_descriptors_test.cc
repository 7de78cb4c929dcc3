// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program that closes descriptors which it does not know, and whose own files
// then get their numbers: nothing is written to those, and code changes.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "code/function_entry.h"
#include "code/updatable_functions_for_test.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using code_test::Answer;
using code_test::Answer2;

// Every number below this becomes one of the program's.
constexpr int kNumbers = 1000;

void CloseAll() { ASSERT_EQ(close_range(3, ~0U, 0), 0); }

// Closes what it does not know, as daemons do at the start of main(), and opens
// `path` under every number, whichever may have been kept.
std::vector<int> GiveAllNumbersTo(const std::string& path) {
  CloseAll();
  std::vector<int> numbers;
  const int first =
      open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  for (int number = first; number >= 0 && number < kNumbers;
       number = dup(first)) {
    numbers.push_back(number);
  }
  EXPECT_EQ(numbers.size(), static_cast<size_t>(kNumbers - 3));
  return numbers;
}

class ClosedDescriptorsTest : public testing::Test {
 protected:
  ClosedDescriptorsTest() {
    rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    log_ = std::string(std::getenv("TEST_TMPDIR")) + "/log";
    unlink(log_.c_str());
  }
  ~ClosedDescriptorsTest() override { CloseAll(); }

  std::string log_;
};

void ExpectUpdateWorks() {
  auto redirection = Redirect(&Answer, &Answer2);
  ASSERT_TRUE(redirection.ok()) << redirection.status();
  EXPECT_EQ(Answer(1), 201);
  const absl::Status undone = redirection->Undo();
  ASSERT_TRUE(undone.ok()) << undone;
  EXPECT_EQ(Answer(1), 101);
}

TEST_F(ClosedDescriptorsTest, LogHasOnlyItsOwnBytes) {
  const std::vector<int> numbers = GiveAllNumbersTo(log_);
  ASSERT_EQ(write(numbers.back(), "started\n", 8), 8);
  ExpectUpdateWorks();
  struct stat file;
  ASSERT_EQ(stat(log_.c_str(), &file), 0);
  EXPECT_EQ(file.st_size, 8);
  for (const int number : numbers) {
    EXPECT_GE(fcntl(number, F_GETFD), 0) << number << " was closed";
  }
}

TEST_F(ClosedDescriptorsTest, AppliedIsAppliedWhereNullDeviceGotTheNumber) {
  GiveAllNumbersTo("/dev/null");
  ExpectUpdateWorks();
}

TEST_F(ClosedDescriptorsTest, NumbersGivenAwayBetweenUpdates) {
  ExpectUpdateWorks();
  GiveAllNumbersTo(log_);
  ExpectUpdateWorks();
  struct stat file;
  ASSERT_EQ(stat(log_.c_str(), &file), 0);
  EXPECT_EQ(file.st_size, 0);
}

}  // namespace
}  // namespace instar
