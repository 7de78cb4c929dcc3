// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/internal/thread_survey.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/linux/tasks.h"
#include "base/testing/sanitizers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace code_internal {
namespace {

// More than fit into one reading of the list of threads, so that the list stays
// open while they are looked at.
constexpr std::size_t kMany = 300;

// No descriptor can be opened, or one.
class FewDescriptors {
 public:
  explicit FewDescriptors(rlim_t zero_or_one) {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    const int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    EXPECT_GE(next, 0);
    close(next);
    rlimit few = before_;
    few.rlim_cur = static_cast<rlim_t>(next) + zero_or_one;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  }
  ~FewDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_ = {};
};

class ThreadSurveyTest : public ::testing::Test {
 protected:
  ~ThreadSurveyTest() override {
    leave_ = true;
    over_.set_value();
    for (std::thread& thread : threads_) thread.join();
  }

  pid_t StartThread() {
    std::atomic<pid_t> tid{0};
    threads_.emplace_back([this, &tid] {
      tid = static_cast<pid_t>(syscall(SYS_gettid));
      while (!leave_) std::this_thread::yield();
    });
    while (tid == 0) std::this_thread::yield();
    return tid;
  }
  // Threads that wait, and are many.
  void StartSleepers() {
    while (threads_.size() < kMany) {
      threads_.emplace_back([this] { is_over_.wait(); });
    }
  }

 private:
  std::atomic<bool> leave_{false};
  std::promise<void> over_;
  const std::shared_future<void> is_over_{over_.get_future()};
  std::vector<std::thread> threads_;
};

TEST_F(ThreadSurveyTest, CountsThreads) {
  // A sanitizer may start a thread of its own with the first one.
  std::thread([] {}).join();
  ThreadSurvey before;
  EXPECT_EQ(SurveyThreads(before), absl::OkStatus());
  StartThread();
  ThreadSurvey survey;
  EXPECT_EQ(SurveyThreads(survey), absl::OkStatus());
  EXPECT_EQ(survey.threads, before.threads + 1);
  EXPECT_EQ(survey.blocks_trap, 0);
}

// The kernel does not say then that it blocks them.
TEST_F(ThreadSurveyTest, AThreadThatWaitsForAllSignalsBlocksTraps) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  std::atomic<pid_t> tid{0};
  std::thread waiting([&] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    tid = static_cast<pid_t>(syscall(SYS_gettid));
    while (sigwaitinfo(&all, nullptr) != SIGUSR1) {
    }
  });
  while (tid == 0 || SignalsAwaitedBy(tid) == 0) std::this_thread::yield();
  ThreadSurvey survey;
  ASSERT_TRUE(SurveyThreads(survey).ok());
  EXPECT_EQ(survey.blocks_trap, tid);
  EXPECT_EQ(syscall(SYS_tgkill, getpid(), tid.load(), SIGUSR1), 0);
  waiting.join();
}

TEST_F(ThreadSurveyTest, WithoutADescriptorAThreadIsTakenForRunning) {
  const pid_t running = StartThread();
  pid_t ended = 0;
  std::thread([&] { ended = static_cast<pid_t>(syscall(SYS_gettid)); }).join();
  const FewDescriptors none(0);
  EXPECT_TRUE(ExecutesCode(running));
  EXPECT_FALSE(ExecutesCode(ended));
}

TEST_F(ThreadSurveyTest, WithoutADescriptorThreadsCannotBeListed) {
  const FewDescriptors none(0);
  ThreadSurvey survey;
  const absl::Status status = SurveyThreads(survey);
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

// One for the list, and none for what is listed.
TEST_F(ThreadSurveyTest, WithoutADescriptorNoThreadIsPassedOver) {
  StartSleepers();
  absl::Status status;
  {
    // UBSan, too, wants descriptors to look at an object.
    const FewDescriptors one(1);
    ThreadSurvey survey;
    status = SurveyThreads(survey);
  }
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              ::testing::HasSubstr("cannot read the state of thread"));
}

}  // namespace
}  // namespace code_internal
}  // namespace instar
