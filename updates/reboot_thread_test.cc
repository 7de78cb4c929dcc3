// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/reboot_thread.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status_macros.h"
#include "code/symbols/function.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/exposed_values.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "threads/update_request.h"
#include "updates/update_function.h"

namespace instar {
namespace {

using testing::HasSubstr;

// Longer than any test takes: an event that does not come fails the test.
constexpr std::chrono::seconds kLimit(60);

absl::Status Update(const ThreadRef& thread, UpdateFunction function) {
  UpdateRequest request =
      SetUpdateFunction(thread, std::move(function), RebootUpdateOptions());
  request.Trigger();
  return request.Await(kLimit);
}

// PyMoult (HotSWUP'13), section 2.2:
//   def new_main(args): ...
//   update_fun = reboot_thread(new_main)
//   set_update_function(update_fun, thread)
TEST(RebootThreadTest, ListingOfThePaper) {
  std::atomic<int> got{0};
  std::atomic<pid_t> tid{0};
  auto held = std::make_shared<int>(7);
  std::mutex locked;
  ControlledThread thread = StartPassiveThread("thread", [&] {
    const std::shared_ptr<int> on_the_stack = held;
    std::lock_guard<std::mutex> lock(locked);
    while (true) UpdatePoint();
  });
  const pid_t before = [&] {
    while (thread.ref().tid() == 0) std::this_thread::yield();
    return thread.ref().tid();
  }();
  const auto new_main = [&](int args) {
    tid = gettid();
    got = args;
  };
  const absl::Status done = Update(thread, RebootThread(new_main, 42));
  EXPECT_TRUE(done.ok()) << done;
  thread.Join();
  EXPECT_EQ(got, 42);
  EXPECT_EQ(tid, before);
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_TRUE(locked.try_lock());
  locked.unlock();
}

struct Taken {
  int connection;
  std::string peer;
};

TEST(RebootThreadTest, ValuesAreTakenFromTheOldStack) {
  std::atomic<bool> exposed{false};
  std::atomic<bool> go_on{false};
  Taken got{};
  ControlledThread thread = StartPassiveThread("thread", [&] {
    while (!go_on) UpdatePoint();
    int connection = 17;
    std::string peer = "somebody with a name that is not short";
    ExposedValue expose_connection("connection", connection);
    ExposedValue expose_peer("peer", peer);
    exposed = true;
    while (true) UpdatePoint();
  });
  UpdateRequest request = SetUpdateFunction(
      thread,
      RebootThreadWith(
          [&](Taken taken) { got = std::move(taken); },
          [](UpdateContext&) -> absl::StatusOr<Taken> {
            INSTAR_ASSIGN_OR_RETURN(const int connection,
                                    ReadExposed<int>("connection"));
            INSTAR_ASSIGN_OR_RETURN(std::string peer,
                                    ReadExposed<std::string>("peer"));
            return Taken{connection, std::move(peer)};
          }),
      RebootUpdateOptions());
  request.Trigger();
  // Nothing is exposed yet.
  while (request.attempts() == 0) std::this_thread::yield();
  EXPECT_THAT(request.reason(), HasSubstr("connection"));
  EXPECT_FALSE(request.is_finished());
  go_on = true;
  EXPECT_TRUE(request.Await(kLimit).ok());
  thread.Join();
  EXPECT_TRUE(exposed);
  EXPECT_EQ(got.connection, 17);
  EXPECT_EQ(got.peer, "somebody with a name that is not short");
}

// What the stack owns is released, in the order in which it is left.
TEST(RebootThreadTest, FilesLocksAndMemoryAreReleased) {
  std::mutex mutex;
  std::atomic<int> descriptor{-1};
  std::atomic<int> live{0};
  struct Counted {
    explicit Counted(std::atomic<int>& c) : count(c) { ++count; }
    ~Counted() { --count; }
    std::atomic<int>& count;
  };
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::atomic<bool> ready{false};
  ControlledThread thread = StartPassiveThread("holder", [&] {
    const std::unique_ptr<std::FILE, Closer> file(std::tmpfile());
    descriptor = fileno(file.get());
    std::lock_guard<std::mutex> lock(mutex);
    const auto counted = std::make_unique<Counted>(live);
    const std::vector<std::string> text(100, std::string(100, 'x'));
    ready = true;
    while (true) UpdatePoint();
  });
  while (!ready) std::this_thread::yield();
  EXPECT_EQ(live, 1);
  EXPECT_FALSE(mutex.try_lock());
  std::atomic<bool> released{false};
  UpdateRequest request = SetUpdateFunction(thread, RebootThread([&] {
                                              released =
                                                  live == 0 && mutex.try_lock();
                                              if (released) mutex.unlock();
                                            }));
  request.Trigger();
  const absl::Status done = request.Await(kLimit);
  EXPECT_TRUE(done.ok()) << done;
  thread.Join();
  EXPECT_TRUE(released);
  EXPECT_EQ(fcntl(descriptor, F_GETFD), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST(RebootThreadTest, AnErrorOfTheCaptureFailsTheUpdate) {
  std::atomic<bool> stop{false};
  ControlledThread thread = StartPassiveThread("thread", [&] {
    int value = 3;
    ExposedValue expose_value("value", value);
    while (!stop) UpdatePoint();
  });
  absl::Status failed;
  do {  // until it is exposed
    UpdateRequest request = SetUpdateFunction(
        thread, RebootThreadWith([](double) {},
                                 [](UpdateContext&) {
                                   absl::StatusOr<double> value =
                                       ReadExposed<double>("value");
                                   if (absl::IsNotFound(value.status())) {
                                     value = absl::UnavailableError("later");
                                   }
                                   return value;
                                 }));
    request.Trigger();
    failed = request.Await(kLimit);
  } while (absl::IsUnavailable(failed));
  EXPECT_EQ(failed.code(), absl::StatusCode::kInvalidArgument);
  stop = true;
}

__attribute__((noinline)) void NoexceptPoint() noexcept {
  UpdatePoint();
  asm volatile("");
}

TEST(RebootThreadTest, WaitsForAPointFromWhichItCanUnwind) {
  // Naming the frame reads symbols the first time, and the longer an attempt
  // takes, the later is the next.
  FunctionMap::Preload();
  std::atomic<bool> leave{false};
  std::atomic<bool> rebooted{false};
  ControlledThread thread = StartPassiveThread("thread", [&] {
    while (!leave) NoexceptPoint();
    while (true) UpdatePoint();
  });
  UpdateRequest request = SetUpdateFunction(
      thread, RebootThread([&] { rebooted = true; }), RebootUpdateOptions());
  request.Trigger();
  while (request.attempts() < 2) std::this_thread::yield();
  EXPECT_FALSE(request.is_finished());
  EXPECT_THAT(request.reason(), HasSubstr("NoexceptPoint"));
  leave = true;
  EXPECT_TRUE(request.Await(kLimit).ok());
  thread.Join();
  EXPECT_TRUE(rebooted);
}

TEST(UpdateFunctionTest, InTurn) {
  std::string log;
  ControlledThread thread = StartPassiveThread("thread", [&] {
    while (true) UpdatePoint();
  });
  int tries = 0;
  const absl::Status done =
      Update(thread, InTurn(
                         [&](UpdateContext&) {
                           log += "a";
                           return Attempt::Done();
                         },
                         [&](UpdateContext&) {
                           log += "b";
                           return ++tries < 3 ? Attempt::NotYet("busy")
                                              : Attempt::Done();
                         },
                         RebootThread([&] { log += "c"; })));
  EXPECT_TRUE(done.ok()) << done;
  thread.Join();
  EXPECT_EQ(log, "abbbc");
}

TEST(UpdateFunctionTest, InTurnEndsWithTheFirstFailure) {
  std::atomic<bool> stop{false};
  std::atomic<int> later{0};
  ControlledThread thread = StartPassiveThread("thread", [&] {
    while (!stop) UpdatePoint();
  });
  const absl::Status failed =
      Update(thread, InTurn(
                         [](UpdateContext&) {
                           return Attempt::Failed(absl::InternalError("no"));
                         },
                         [&](UpdateContext&) {
                           ++later;
                           return Attempt::Done();
                         }));
  EXPECT_EQ(failed.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(later, 0);
  stop = true;
}

}  // namespace
}  // namespace instar
