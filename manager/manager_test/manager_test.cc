// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/manager.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/testing/child_process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "heap/updatable.h"
#include "threads/controlled_thread.h"
#include "threads/testing/looping.h"
#include "threads/update_point.h"
#include "updates/mechanisms/mechanism.h"
#include "updates/mechanisms/new_thread.h"
#include "updates/testing/functions_for_test.h"
#include "updates/thread_updates.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;
using testing::UnorderedElementsAre;
using updates_test::Price;

int NewPrice(int article) { return 1000 + article; }

struct Shelf : Updatable<Shelf> {
  int places = 3;
};
struct ShelfV2 : Shelf {
  explicit ShelfV2(Shelf&& old) noexcept : Shelf(std::move(old)) {}
  int depth = 40;
};

struct Crate : Updatable<Crate> {
  virtual int Version() const { return 1; }
};
struct CrateV2 : Crate {
  explicit CrateV2(Crate&& old) noexcept : Crate(std::move(old)) {}
  int Version() const override { return 2; }
  void Convert() {
    while (waits) std::this_thread::yield();
  }
  static inline std::atomic<bool> waits{false};
};

// Notes whom it is applied, or undone, with.
struct CountHeld final : Mechanism {
  std::string name() const override { return "count threads"; }
  Attempt Apply(const StoppedWorld& world) override {
    held.clear();
    for (const HeldThread& thread : world.threads()) {
      held.push_back(thread.thread.name());
    }
    return Attempt::Done();
  }
  Attempt Undo(const StoppedWorld& world) override { return Apply(world); }
  std::vector<std::string> held;
};

// Of a thread that has not begun, nothing is waited for.
void AwaitBegin(const ControlledThread& thread) {
  while (thread.state() == ThreadState::kNew) std::this_thread::yield();
}

class ManagerTest : public testing::Test {
 protected:
  void SetUp() override {
    // The path of a socket must be short.
    char path[] = "/tmp/instar-manager-test-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    directory_ = path;
    setenv("INSTAR_SOCKET_DIRECTORY", path, 1);
  }
  void TearDown() override {
    // A worker that was left to itself writes its journal when it comes back.
    std::error_code error;
    do {
      std::filesystem::remove_all(directory_, error);
    } while (error == std::errc::directory_not_empty);
    EXPECT_FALSE(error) << error.message();
  }

  static Manager Start(ManagerOptions options = {}) {
    absl::StatusOr<Manager> manager = Manager::Start(std::move(options));
    EXPECT_TRUE(manager.ok()) << manager.status();
    return *std::move(manager);
  }
  static std::unique_ptr<Update> Prices() {
    UpdatePlan plan("prices");
    plan.Redefine(Price, &NewPrice);
    return MakeUpdate(std::move(plan));
  }

  std::string directory_;
};

TEST_F(ManagerTest, ListensWhereItSaysAndLeavesNothingButItsJournal) {
  {
    const Manager manager = Start();
    struct stat info;
    ASSERT_EQ(stat(manager.socket_path().c_str(), &info), 0);
    EXPECT_TRUE(S_ISSOCK(info.st_mode));
    EXPECT_THAT(manager.socket_path(), HasSubstr(directory_));
    const StatusReport status = manager.Status();
    EXPECT_EQ(status.program.name, "manager_test");
    EXPECT_EQ(status.program.pid, getpid());
    EXPECT_FALSE(status.program.build_id.empty());
    EXPECT_FALSE(status.program.executable.empty());
  }
  std::vector<std::string> left;
  for (const auto& file : std::filesystem::directory_iterator(directory_)) {
    if (file.path().extension() != ".journal") left.push_back(file.path());
  }
  for (const std::string& path : left) {
    EXPECT_FALSE(std::filesystem::is_socket(path)) << path;
  }
}

TEST_F(ManagerTest, AppliesAndUndoesFromWithinTheProgram) {
  Manager manager = Start();
  Looping one("one"), two("two");
  one.AwaitRounds();
  two.AwaitRounds();
  const auto applied = manager.Apply(Prices());
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ(Price(1), 1001);
  EXPECT_EQ(applied->update, "prices");
  EXPECT_GE(applied->hold_times.threads, 2);  // and this one
  EXPECT_GE(applied->hold_times.maximum, applied->hold_times.median);
  EXPECT_GE(applied->elapsed, applied->applying);
  EXPECT_TRUE(absl::IsAlreadyExists(manager.Apply(Prices()).status()));

  const StatusReport status = manager.Status();
  ASSERT_EQ(status.applied.size(), 1u);
  EXPECT_EQ(status.applied[0].update, "prices");
  EXPECT_TRUE(status.applied[0].can_undo.ok());
  EXPECT_TRUE(status.pending.empty());

  ASSERT_TRUE(manager.Undo().ok());
  EXPECT_EQ(Price(1), 101);
  ASSERT_TRUE(manager.Apply(Prices()).ok());
  EXPECT_EQ(Price(1), 1001);
  ASSERT_TRUE(manager.Undo().ok());

  const auto journal = manager.Journal();
  ASSERT_TRUE(journal.ok()) << journal.status();
  std::vector<std::string> events;
  for (const JournalEntry& entry : *journal) {
    // It depends on the system and the processor whether there is any.
    if (entry.event != "limited") events.push_back(entry.event);
  }
  EXPECT_THAT(events, ElementsAre("started", "applied", "failed", "undone",
                                  "applied", "undone"));
}

// The caller is a controlled thread itself, and counts as stopped.
TEST_F(ManagerTest, AControlledThreadUpdatesItsOwnProgram) {
  Manager manager = Start();
  Looping other("other");
  std::atomic<int> price{0};
  ControlledThread self = StartPassiveThread("self", [&] {
    const auto applied = manager.Apply(Prices());
    EXPECT_TRUE(applied.ok()) << applied.status();
    price = Price(1);
    const auto undone = manager.Undo();
    EXPECT_TRUE(undone.ok()) << undone.status();
  });
  self.Join();
  EXPECT_EQ(price, 1001);
}

// Those of RunControlled() and ControlledThisThread as well.
TEST_F(ManagerTest, EveryControlledThreadIsRegistered) {
  Manager manager = Start();
  std::atomic<bool> stop{false};
  std::atomic<int> begun{0};
  const auto loop = [&] {
    ++begun;
    while (!stop) UpdatePoint();
  };
  std::thread pool([&] {
    const ControlledThisThread worker("pool");
    loop();
  });
  std::thread other([&] { RunControlled("run", ThreadKind::kPassive, loop); });
  Looping started("started");
  started.AwaitRounds();
  while (begun < 2) std::this_thread::yield();
  const auto applied = manager.Apply(Prices());
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_GE(applied->hold_times.threads, 3);  // and this one
  for (const ThreadReport& thread : manager.Status().threads) {
    EXPECT_TRUE(thread.is_registered) << thread.name;
  }
  ASSERT_TRUE(manager.Undo().ok());
  stop = true;
  pool.join();
  other.join();
}

TEST_F(ManagerTest, OnlyRegisteredThreads) {
  ManagerOptions options;
  options.only_registered_threads = true;
  Manager manager = Start(options);
  std::atomic<bool> stop{false};
  // Never comes to an update point.
  ControlledThread stubborn = StartPassiveThread("stubborn", [&stop] {
    while (!stop) {
    }
  });
  AwaitBegin(stubborn);
  Looping looping("looping");
  looping.AwaitRounds();
  manager.Register(looping.ref());
  manager.Register(looping.ref());
  const auto applied = manager.Apply(Prices());
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ(applied->hold_times.threads, 1);
  std::vector<std::string> registered, others;
  for (const ThreadReport& thread : manager.Status().threads) {
    (thread.is_registered ? registered : others).push_back(thread.name);
  }
  EXPECT_THAT(registered, ElementsAre("looping"));
  EXPECT_THAT(others, ElementsAre("stubborn"));
  ASSERT_TRUE(manager.Undo().ok());
  stop = true;
}

// What is held by a part of a thread, or of none, as well.
TEST_F(ManagerTest, OnlyRegisteredThreadsAreAskedByUpdatesOfThreads) {
  ManagerOptions options;
  options.only_registered_threads = true;
  Manager manager = Start(options);
  std::atomic<bool> stop{false};
  // Never comes to an update point.
  ControlledThread stubborn = StartPassiveThread("stubborn", [&stop] {
    while (!stop) {
    }
  });
  AwaitBegin(stubborn);
  Looping looping("looping"), named("named");
  looping.AwaitRounds();
  manager.Register(looping.ref());
  manager.Register(named.ref());
  ThreadUpdates threads("counts");
  const auto count = std::make_shared<CountHeld>();
  const auto here = std::make_shared<CountHeld>();
  threads.Start(NewThread("started", ThreadKind::kPassive, [&stop] {
    while (!stop) UpdatePoint();
  }));
  threads.Then();
  threads.Start(here);
  threads.Add("named", count);
  const auto applied =
      manager.Apply(MakeUpdate(std::move(threads)), std::chrono::seconds(20));
  stop = !applied.ok();
  ASSERT_TRUE(applied.ok()) << applied.status();
  // The update's own thread is among them.
  EXPECT_THAT(here->held, UnorderedElementsAre("looping", "named", "started"));
  EXPECT_THAT(count->held, IsSupersetOf({"looping", "started"}));
  EXPECT_THAT(count->held, Not(Contains("stubborn")));
  for (const ThreadReport& thread : manager.Status().threads) {
    EXPECT_EQ(thread.is_registered, thread.name != "stubborn") << thread.name;
  }
  const auto undone = manager.Undo();
  stop = true;
  ASSERT_TRUE(undone.ok()) << undone.status();
  EXPECT_THAT(here->held, Not(Contains("stubborn")));
}

TEST_F(ManagerTest, WhatBlocksAnUpdateIsInItsStatusAndItsError) {
  Manager manager = Start();
  std::atomic<bool> stop{false};
  ControlledThread stubborn = StartPassiveThread("stubborn", [&stop] {
    while (!stop) {
    }
  });
  AwaitBegin(stubborn);
  std::atomic<bool> seen{false};
  std::thread watcher([&] {
    while (!seen) {
      for (const PendingReport& pending : manager.Status().pending) {
        for (const Blocker& blocker : pending.progress.blockers) {
          seen = seen || blocker.thread == "stubborn";
        }
      }
      std::this_thread::yield();
    }
    stop = true;  // its end is what the update waits for
  });
  const auto applied = manager.Apply(Prices(), std::chrono::seconds(60));
  EXPECT_TRUE(applied.ok()) << applied.status();
  watcher.join();
  ASSERT_TRUE(manager.Undo().ok());
}

TEST_F(ManagerTest, StatusCountsObjectsByVersion) {
  Manager manager = Start();
  const Shelf one, two;
  std::vector<std::unique_ptr<Shelf>> shelves;
  for (int i = 0; i < 3; ++i) shelves.push_back(std::make_unique<Shelf>());
  UpdatePlan plan("deeper");
  plan.ConvertLazily<Shelf, ShelfV2>();
  const auto applied = manager.Apply(MakeUpdate(std::move(plan)));
  ASSERT_TRUE(applied.ok()) << applied.status();
  bool found = false;
  for (const ObjectCounts& counts : manager.Status().classes) {
    if (counts.class_name.find("Shelf") == std::string::npos) continue;
    found = true;
    EXPECT_EQ(counts.Total(), 5u);
    EXPECT_EQ(counts.by_version.front().second, 5u);
  }
  EXPECT_TRUE(found);
  ASSERT_TRUE(manager.Undo().ok());
}

// One that old code has made, and the conversion of which does not return, is
// seen, and nothing begins until it has.
TEST_F(ManagerTest, AnObjectTheConversionOfWhichDoesNotReturn) {
  Manager manager = Start();
  UpdatePlan plan("crates");
  plan.ConvertEagerly<Crate, CrateV2>();
  ASSERT_TRUE(
      manager.Apply(MakeUpdate(std::move(plan)), std::chrono::seconds(60))
          .ok());
  CrateV2::waits = true;
  const auto late = std::make_unique<Crate>();
  const auto remark = [&manager]() -> std::string {
    for (const std::string& said : manager.Status().remarks) {
      if (said.find("still runs") != std::string::npos) return said;
    }
    return "";
  };
  std::string said;
  while (said.empty()) said = remark();
  EXPECT_THAT(said,
              testing::AllOf(HasSubstr("an object that old code has made"),
                             HasSubstr("Crate still runs, in thread "),
                             HasSubstr("no update begins")));
  CrateV2::waits = false;
  while (!remark().empty()) std::this_thread::yield();
  EXPECT_EQ(late->Version(), 2);
  EXPECT_TRUE(manager.Undo().ok());
}

// The program's end does not wait for a hook that never returns.
TEST_F(ManagerTest, ItsEndWithAHookThatDoesNotReturn) {
  const auto go = std::make_shared<std::atomic<bool>>(false);
  std::weak_ptr<int> hook;
  {
    Manager manager = Start();
    absl::Status status;
    do {  // until it came to the hook in time
      const auto hook_lives = std::make_shared<int>(0);
      hook = hook_lives;
      UpdatePlan plan("stuck");
      plan.Before([go, hook_lives] {
        while (!*go) std::this_thread::yield();
        return absl::OkStatus();
      });
      status = manager
                   .Apply(MakeUpdate(std::move(plan)),
                          std::chrono::milliseconds(100))
                   .status();
    } while (absl::IsDeadlineExceeded(status));
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("hook before the update still runs, in thread "));
  }
  EXPECT_FALSE(hook.expired());
  *go = true;
  while (!hook.expired()) std::this_thread::yield();
}

TEST_F(ManagerTest, TheChildOfAForkHasNone) {
  const Manager manager = Start();
  EXPECT_EQ(InAChild([&] {
              Manager gone = std::move(const_cast<Manager&>(manager));
              return 0;
            }),
            0);
  EXPECT_TRUE(std::filesystem::exists(manager.socket_path()));
}

TEST_F(ManagerTest, ADirectoryThatOthersMayEnterIsRefused) {
  ASSERT_EQ(chmod(directory_.c_str(), 0755), 0);
  const auto manager = Manager::Start();
  EXPECT_TRUE(absl::IsPermissionDenied(manager.status())) << manager.status();
  EXPECT_THAT(std::string(manager.status().message()), HasSubstr(directory_));
}

}  // namespace
}  // namespace instar
