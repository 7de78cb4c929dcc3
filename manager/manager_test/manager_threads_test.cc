// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The threads that the manager, and conversions, have in the program: they
// leave its signals to it, and one that cannot be made is an error.

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/conversion.h"
#include "heap/updatable.h"
#include "manager/manager.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "updates/update_plan.h"

namespace {
// How many threads the system gives; negative: as many as are asked for.
std::atomic<int> threads_left{-1};
}  // namespace

// Before that of the C library, also for the C++ library.
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* how,
                              void* (*body)(void*), void* argument) {
  if (threads_left == 0) return EAGAIN;
  if (threads_left > 0) --threads_left;
  static const auto next = reinterpret_cast<decltype(&pthread_create)>(
      dlsym(RTLD_NEXT, "pthread_create"));
  return next(thread, how, body, argument);
}

namespace instar {
namespace {

using testing::HasSubstr;

struct Shelf : Updatable<Shelf> {
  int places = 3;
};
struct ShelfV2 : Shelf {
  explicit ShelfV2(Shelf&& old) noexcept : Shelf(std::move(old)) {}
};

class ManagerThreadsTest : public testing::Test {
 protected:
  void SetUp() override {
    // The path of a socket must be short.
    char path[] = "/tmp/instar-threads-test-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    directory_ = path;
    setenv("INSTAR_SOCKET_DIRECTORY", path, 1);
  }
  void TearDown() override {
    threads_left = -1;
    std::filesystem::remove_all(directory_);
  }

  // Sends the signal to the process and takes it by sigtimedwait().
  static int SendAndTake(int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    kill(getpid(), number);
    const timespec limit = {10, 0};
    int taken;
    while ((taken = sigtimedwait(&set, nullptr, &limit)) < 0 &&
           errno == EINTR) {
    }
    return taken;
  }

  std::string directory_;
};

TEST_F(ManagerThreadsTest, LeaveTheProgramsSignalsToIt) {
  absl::StatusOr<Manager> manager = Manager::Start();
  ASSERT_TRUE(manager.ok()) << manager.status();
  // As servers do: after the manager has started, before their own threads.
  sigset_t taken, before;
  sigemptyset(&taken);
  for (const int number : {SIGTERM, SIGHUP, SIGRTMIN + 1}) {
    sigaddset(&taken, number);
  }
  pthread_sigmask(SIG_BLOCK, &taken, &before);
  EXPECT_EQ(SendAndTake(SIGTERM), SIGTERM);
  EXPECT_EQ(SendAndTake(SIGHUP), SIGHUP);

  // Threads for conversions, and one of the program, which an update starts.
  std::promise<sigset_t> mask;
  UpdatePlan plan("threads");
  ConversionOptions options;
  options.threads = 3;
  plan.ConvertEagerly<Shelf, ShelfV2>(options);
  plan.StartPassiveThread("started", [&] {
    sigset_t now;
    pthread_sigmask(SIG_BLOCK, nullptr, &now);
    mask.set_value(now);
    while (true) UpdatePoint();
  });
  const auto applied = manager->Apply(MakeUpdate(std::move(plan)));
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ(SendAndTake(SIGTERM), SIGTERM);
  EXPECT_EQ(SendAndTake(SIGRTMIN + 1), SIGRTMIN + 1);
  // The thread blocks what the program's threads block, and nothing else.
  const sigset_t started = mask.get_future().get();
  EXPECT_EQ(sigismember(&started, SIGTERM), 1);
  EXPECT_EQ(sigismember(&started, SIGHUP), 1);
  EXPECT_EQ(sigismember(&started, SIGUSR1), 0);
  EXPECT_EQ(sigismember(&started, SIGINT), 0);
  const auto undone = manager->Undo();
  EXPECT_TRUE(undone.ok()) << undone.status();
  EXPECT_EQ(SendAndTake(SIGTERM), SIGTERM);

  UpdatePlan next("sweep");
  next.ConvertProgressively<Shelf, ShelfV2>();
  const auto swept = manager->Apply(MakeUpdate(std::move(next)));
  ASSERT_TRUE(swept.ok()) << swept.status();
  EXPECT_EQ(SendAndTake(SIGTERM), SIGTERM);
  EXPECT_TRUE(manager->Undo().ok());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(ManagerThreadsTest, AreAnErrorWhereTheSystemGivesNone) {
  for (int given = 0; given < 3; ++given) {
    threads_left = given;
    const absl::StatusOr<Manager> manager = Manager::Start();
    ASSERT_FALSE(manager.ok()) << given;
    EXPECT_TRUE(absl::IsResourceExhausted(manager.status()))
        << manager.status();
    EXPECT_THAT(std::string(manager.status().message()), HasSubstr("thread"));
  }
  threads_left = -1;
  // And those that were given have ended: it can be started.
  absl::StatusOr<Manager> manager = Manager::Start();
  ASSERT_TRUE(manager.ok()) << manager.status();
  const auto apply = [&](auto add) {
    UpdatePlan plan("threads");
    add(plan);
    return manager->Apply(MakeUpdate(std::move(plan))).status();
  };
  const auto eagerly = [](UpdatePlan& plan) {
    ConversionOptions options;
    options.threads = 3;
    plan.ConvertEagerly<Shelf, ShelfV2>(options);
  };
  const auto progressively = [](UpdatePlan& plan) {
    plan.ConvertProgressively<Shelf, ShelfV2>();
  };
  const auto starting = [](UpdatePlan& plan) {
    plan.StartPassiveThread("started", [] {
      while (true) UpdatePoint();
    });
  };
  ASSERT_TRUE(apply(eagerly).ok());
  ASSERT_TRUE(manager->Undo().ok());
  for (int given = 0; given < 3; ++given) {
    threads_left = given;
    EXPECT_TRUE(absl::IsResourceExhausted(apply(eagerly))) << given;
  }
  threads_left = 0;
  EXPECT_TRUE(absl::IsResourceExhausted(apply(progressively)));
  EXPECT_TRUE(absl::IsResourceExhausted(apply(starting)));
  threads_left = -1;
  EXPECT_TRUE(apply(progressively).ok());
  EXPECT_TRUE(manager->Undo().ok());
}

}  // namespace
}  // namespace instar
