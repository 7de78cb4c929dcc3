// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/redefinable.h"

#include <sys/prctl.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/testing/child_process.h"
#include "base/testing/hammer.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

int One(int a) { return 100 + a; }
int Two(int a) { return 200 + a; }
int Three(int a) { return 300 + a; }

// What is initialized before it calls it.
extern Redefinable<int(int)> early;
int AtStart() { return early(1); }
const int at_start = AtStart();
Redefinable<int(int)> early(&One);

TEST(RedefinableTest, OneAtNamespaceScopeIsThereFromTheStart) {
  EXPECT_EQ(at_start, 101);
  RedefinableRedirection redirection(early, &Two);
  redirection.Apply();
  EXPECT_EQ(early(1), 201);
}

TEST(RedefinableTest, PlacesAreUsedAgain) {
  for (int i = 0; i < 3; ++i) {
    std::vector<std::unique_ptr<Redefinable<int(int)>>> many;
    for (int j = 0; j < 5000; ++j) {
      many.push_back(
          std::make_unique<Redefinable<int(int)>>(j % 2 == 0 ? &One : &Two));
      EXPECT_EQ((*many.back())(1), j % 2 == 0 ? 101 : 201);
    }
    for (int j = 0; j < 5000; j += 3) many[j] = nullptr;
    for (int j = 0; j < 5000; ++j) {
      if (many[j] == nullptr) {
        many[j] = std::make_unique<Redefinable<int(int)>>(&Three);
      }
    }
    for (int j = 0; j < 5000; ++j) {
      ASSERT_EQ((*many[j])(1), j % 3 == 0 ? 301 : j % 2 == 0 ? 101 : 201) << j;
    }
  }
}

TEST(RedefinableTest, ApplyReadBackUndo) {
  Redefinable<int(int)> function(&One);
  EXPECT_EQ(function(1), 101);
  RedefinableRedirection redirection(function, &Two);
  EXPECT_EQ(function(1), 101);
  redirection.Apply();
  EXPECT_EQ(function(1), 201);
  EXPECT_EQ(function.Current(), &Two);
  EXPECT_EQ(function.Original()(1), 101);
  redirection.Undo();
  EXPECT_EQ(function(1), 101);
}

TEST(RedefinableTest, LatestIsInEffectAndAnyCanBeUndone) {
  Redefinable<int(int)> function(&One);
  RedefinableRedirection second(function, &Two), third(function, &Three);
  second.Apply();
  third.Apply();
  EXPECT_EQ(function(1), 301);
  second.Undo();
  EXPECT_EQ(function(1), 301);
  second.Apply();
  EXPECT_EQ(function(1), 201);
  second.Undo();
  EXPECT_EQ(function(1), 301);
  third.Undo();
  EXPECT_EQ(function(1), 101);
}

TEST(RedefinableTest, DroppingARedirectionUndoesIt) {
  Redefinable<int(int)> function(&One);
  {
    RedefinableRedirection redirection(function, &Two);
    redirection.Apply();
  }
  EXPECT_EQ(function(1), 101);
}

std::unique_ptr<int> Pass(std::unique_ptr<int> value, const std::string&) {
  return value;
}
int& Refer(int& value) { return value; }

TEST(RedefinableTest, ParametersAreForwarded) {
  Redefinable<std::unique_ptr<int>(std::unique_ptr<int>, const std::string&)>
      pass(&Pass);
  EXPECT_EQ(*pass(std::make_unique<int>(7), "x"), 7);
  Redefinable<int&(int&)> refer(&Refer);
  int value = 1;
  refer(value) = 2;
  EXPECT_EQ(value, 2);
}

TEST(RedefinableTest, RedefinedWhileThreadsCall) {
  Redefinable<int(int)> function(&One);
  RedefinableRedirection second(function, &Two);
  second.Apply();
  std::atomic<long> wrong{0};
  Hammer hammer(3, [&] {
    const int result = function(1);
    if (result != 201 && result != 301) ++wrong;
  });
  std::vector<std::thread> redefiners;
  for (int i = 0; i < 2; ++i) {
    redefiners.emplace_back([&] {
      RedefinableRedirection third(function, &Three);
      for (int flip = 0; flip < 20000; ++flip) {
        third.Apply();
        third.Undo();
      }
    });
  }
  for (std::thread& thread : redefiners) thread.join();
  hammer.Stop();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(function(1), 201);
}

TEST(RedefinableDeathTest, ChecksItsCallers) {
  Redefinable<int(int)> function(&One);
  RedefinableRedirection redirection(function, &Two);
  EXPECT_DEATH(redirection.Undo(), "only an applied redirection");
  EXPECT_DEATH(Redefinable<int(int)>(nullptr)(1), "a function is needed");
}

// More than the program has room for, and their places are used again.
// How many of them do not answer as they should.
int CountWrong(int count) {
  int wrong = 0;
  for (int round = 0; round < 2; ++round) {
    std::vector<std::unique_ptr<Redefinable<int(int)>>> slots;
    std::vector<std::unique_ptr<RedefinableRedirection>> redirections;
    for (int i = 0; i < count; ++i) {
      slots.push_back(std::make_unique<Redefinable<int(int)>>(&One));
      redirections.push_back(
          std::make_unique<RedefinableRedirection>(*slots.back(), &Two));
      if (i % 3 == 0) redirections.back()->Apply();
    }
    for (int i = 0; i < count; ++i) {
      if ((*slots[i])(1) != (i % 3 == 0 ? 201 : 101)) ++wrong;
    }
    redirections.clear();
  }
  return wrong;
}

TEST(RedefinableTest, AnyNumber) { EXPECT_EQ(CountWrong(6000), 0); }

// MemoryDenyWriteExecute= of systemd (PR_SET_MDWE, Linux 6.3).
TEST(RedefinableTest, AnyNumberWhereNoMemoryMayBecomeExecutable) {
  constexpr int kSetMdwe = 65;
  constexpr unsigned long kRefuseExecGain = 1;
  constexpr int kNotThere = 77 << 8;
  const int answer = InAChild([] {
    if (prctl(kSetMdwe, kRefuseExecGain, 0, 0, 0) != 0) return 77;
    return CountWrong(6000) == 0 ? 0 : 1;
  });
  if (answer == kNotThere) GTEST_SKIP() << "the kernel has no PR_SET_MDWE";
  EXPECT_EQ(answer, 0);
}

// A version that was looked up before the arguments are made would be the old
// one.
struct Redefines {
  explicit Redefines(RedefinableRedirection* r) : redirection(r) {}
  Redefines(Redefines&& other) noexcept : redirection(other.redirection) {
    if (!redirection->is_applied()) redirection->Apply();
  }
  RedefinableRedirection* redirection;
};
int Old(Redefines) { return 1; }
int New(Redefines) { return 2; }

TEST(RedefinableTest, TheVersionIsLookedUpWhenTheArgumentsAreThere) {
  Redefinable<int(Redefines)> function(&Old);
  RedefinableRedirection redirection(function, &New);
  EXPECT_EQ(function(Redefines(&redirection)), 2);
}

}  // namespace
}  // namespace instar
