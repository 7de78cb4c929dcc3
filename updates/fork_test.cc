// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Threads use all that this library offers while their process forks: each
// child can do the same, whatever lock, guard or turn the threads that it does
// not have owned at that moment.

#include <dlfcn.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/linker_gate.h"
#include "base/testing/sanitizers.h"
#include "code/redefinable.h"
#include "code/symbols/find_functions.h"
#include "code/symbols/function.h"
#include "continuation/generator.h"
#include "gtest/gtest.h"
#include "heap/updatable.h"
#include "heap/weak_object_pool.h"
#include "threads/controlled_thread.h"
#include "threads/rendezvous.h"
#include "threads/update_point.h"
#include "threads/update_request.h"
#include "updates/change.h"
#include "updates/mechanisms/class_functions.h"
#include "updates/mechanisms/convert.h"
#include "updates/mechanisms/redefine.h"
#include "updates/testing/functions_for_test.h"

namespace instar {
namespace {

using namespace updates_test;  // NOLINT: the functions under test

// As many as there is time for, and some on the busiest machine.
constexpr int kForks = 500;
constexpr int kFewestForks = 10;
constexpr std::chrono::seconds kTime(15);
constexpr int kMostFailures = 2;
// It may have to read symbols again, on a busy machine.
constexpr unsigned kChildSeconds = 60;
constexpr std::chrono::seconds kLong(60);

// One for each user: who converts says that nobody uses the class.
template <int kUser>
struct Item : Updatable<Item<kUser>> {
  virtual int Version() const { return 1; }
};
template <int kUser>
struct ItemV2 : Item<kUser> {
  explicit ItemV2(Item<kUser>&& old) noexcept : Item<kUser>(std::move(old)) {}
  int Version() const override { return 2; }
};

// What a thread does, again and again, and a child once. `kUser` says whose
// functions and classes are changed. True if the answers are right.
constexpr int kOfThreads = 0;
constexpr int kOfChild = 1;

bool LooksUpNames() {
  if (!Function::Named("instar::updates_test::Price").ok()) return false;
  FindOptions options;
  options.parts = {"5Price"};
  FindFunctions([](absl::string_view) { return true; }, options);
  return FunctionsOfClassesNamed({"instar::updates_test::Site"}).ok();
}

// So that there is something new to be found each time. What a thread of a
// program does with the dynamic linker, fork() does not wait for: in the gate,
// it is as if this library did it.
bool LoadsAndLooksUpNames() {
  void* library = nullptr;
  {
    const LinkerGate gate;
    library = dlopen("libanl.so.1", RTLD_NOW | RTLD_LOCAL);
  }
  const bool ok = LooksUpNames();
  {
    const LinkerGate gate;
    if (library != nullptr) dlclose(library);
  }
  // A child that comes in the middle of it reads all of it anew.
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return ok;
}

bool IsDone(const std::function<Attempt()>& try_it) {
  while (true) {
    const Attempt attempt = try_it();
    if (!attempt.is_not_yet()) return attempt.is_done();
    std::this_thread::yield();
  }
}

template <typename Update>
bool AppliesAndUndoes(Update update) {
  return IsDone([&] { return update.Apply(); }) &&
         IsDone([&] { return update.Undo(); });
}

template <int kUser>
bool Redefines() {
  ChangeOptions forced(Stacks::kAllThreads);
  forced.forced_quiescence = std::chrono::milliseconds(50);
  Redefinable<int(int)> slot(&Price3);
  const auto twice = [](int a) { return 2 * a; };
  if (kUser == kOfChild) {
    return AppliesAndUndoes(Change(Redefine(
                                       &OfDouble, +[](double) { return 7; }),
                                   Stacks::kAllThreads)) &&
           AppliesAndUndoes(
               Change(Redefine(&Send, &Send2), Stacks::kControlledThreads)) &&
           AppliesAndUndoes(Change(Redefine(&Dwell, &Dwell2), forced)) &&
           AppliesAndUndoes(
               Change(Redefine(slot, +twice), Stacks::kAllThreads));
  }
  return AppliesAndUndoes(
             Change(Redefine(&Price, &Price2), Stacks::kAllThreads)) &&
         AppliesAndUndoes(
             Change(Redefine(&Depth, &Depth2), Stacks::kControlledThreads)) &&
         AppliesAndUndoes(Change(Redefine(&Receive, &Receive2), forced)) &&
         AppliesAndUndoes(Change(Redefine(slot, +twice), Stacks::kAllThreads));
}

template <int kUser>
bool Converts() {
  using Eager = Item<2 * kUser>;
  using Lazy = Item<2 * kUser + 1>;
  const auto eager = std::make_unique<Eager>();
  const auto lazy = std::make_unique<Lazy>();
  WeakObjectPool<Eager>().Counts();
  ConversionOptions parallel;
  parallel.threads = 2;
  return AppliesAndUndoes(Change(ConvertEagerly<Eager, ItemV2<2 * kUser>>())) &&
         AppliesAndUndoes(
             Change(ConvertEagerly<Eager, ItemV2<2 * kUser>>(parallel))) &&
         AppliesAndUndoes(Change(ConvertLazily<Lazy, ItemV2<2 * kUser + 1>>()));
}

bool HoldsThreads() {
  RendezvousOptions options;
  options.limit = kLong;
  return Rendezvous::HoldAll(std::move(options)).ok();
}

bool UpdatesAThread() {
  std::atomic<bool> stop{false};
  ControlledThread thread = StartActiveThread("updated", [&stop] {
    while (!stop) UpdatePoint();
  });
  UpdateRequest request = SetUpdateFunction(
      thread.ref(), [](UpdateContext&) { return Attempt::Done(); });
  request.Trigger();
  const bool ok = request.Await(kLong).ok();
  stop = true;
  thread.Join();
  return ok;
}

bool Generates() {
  Generator<int> numbers("numbers", [](auto& yield) {
    for (int n = 1; n <= 4; ++n) yield(n);
  });
  int sum = 0;
  for (const int i : numbers) sum += i;
  return sum == 10;
}

struct Work {
  const char* name;
  bool (*of_threads)();
  bool (*of_child)();
};
constexpr Work kWork[] = {
    {"names", &LoadsAndLooksUpNames, &LooksUpNames},
    {"redefinition", &Redefines<kOfThreads>, &Redefines<kOfChild>},
    {"conversion", &Converts<kOfThreads>, &Converts<kOfChild>},
    {"rendezvous", &HoldsThreads, &HoldsThreads},
    {"update of a thread", &UpdatesAThread, &UpdatesAThread},
    {"generator", &Generates, &Generates},
};

// 0 if all is well, else one more than the place of what is not. One that waits
// for ever is ended by an alarm.
int RunChild(std::size_t first) {
  signal(SIGALRM, SIG_DFL);
  sigset_t alarm_only;
  sigemptyset(&alarm_only);
  sigaddset(&alarm_only, SIGALRM);
  sigprocmask(SIG_UNBLOCK, &alarm_only, nullptr);
  alarm(kChildSeconds);
  for (std::size_t i = 0; i < std::size(kWork); ++i) {
    const std::size_t place = (first + i) % std::size(kWork);
    if (!kWork[place].of_child()) return static_cast<int>(place) + 1;
  }
  return 0;
}

TEST(UpdatesForkTest, ChildrenDoWhatThreadsDid) {
  INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
  // What is read once in a process is not to be read in each child.
  for (const Work& work : kWork) {
    ASSERT_TRUE(work.of_threads()) << work.name;
    ASSERT_TRUE(work.of_child()) << work.name;
  }
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (const Work& work : kWork) {
    threads.emplace_back([&] {
      while (!stop) EXPECT_TRUE(work.of_threads()) << work.name;
    });
  }
  int failures = 0;
  const auto end = std::chrono::steady_clock::now() + kTime;
  for (int forks = 0; forks < kForks && failures < kMostFailures; ++forks) {
    if (forks >= kFewestForks && std::chrono::steady_clock::now() > end) {
      RecordProperty("forks", forks);
      break;
    }
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) _exit(RunChild(static_cast<std::size_t>(forks)));
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (status == 0) continue;
    ++failures;
    if (WIFSIGNALED(status)) {
      ADD_FAILURE() << "child " << forks << " was ended by signal "
                    << WTERMSIG(status);
    } else {
      ADD_FAILURE() << "child " << forks << " failed at "
                    << kWork[WEXITSTATUS(status) - 1].name;
    }
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace instar
