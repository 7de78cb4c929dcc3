// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Callers' errors and overflows: each ends the program with a message that
// names the continulet.

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <thread>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/base/config.h"
#include "continuation/continulet.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

class ContinuletDeathTest : public testing::Test {
 protected:
  ContinuletDeathTest() {
    testing::FLAGS_gtest_death_test_style = "threadsafe";
  }
};

TEST_F(ContinuletDeathTest, SwitchToAFinishedOne) {
  Continulet<void()> c("ended", [](auto&) {});
  c.Switch();
  EXPECT_DEATH(c.Switch(),
               "continulet 'ended' cannot be switched to: it is finished");
  EXPECT_DEATH(c.Throw(std::runtime_error("late")),
               "continulet 'ended' cannot be thrown into: it is finished");
}

TEST_F(ContinuletDeathTest, ThrowOfNothing) {
  Continulet<void()> c("spared", [](auto& self) { self.Switch(); });
  c.Switch();
  EXPECT_DEATH(c.Throw(std::exception_ptr()),
               "continulet 'spared': Throw\\(\\) needs an exception");
}

TEST_F(ContinuletDeathTest, SwitchToARunningOne) {
  Continulet<void()> c("busy", [&](auto&) { c.Switch(); });
  EXPECT_DEATH(c.Switch(),
               "continulet 'busy' cannot be switched to: it is running");
}

TEST_F(ContinuletDeathTest, SwitchToOneThatWaitsForThisOne) {
  Continulet<void()> outer("waiting", [&](auto&) {
    Continulet<void()> inner("inner", [&](auto&) { outer.Switch(); });
    inner.Switch();
  });
  EXPECT_DEATH(outer.Switch(),
               "continulet 'waiting' cannot be switched to: it is running");
}

TEST_F(ContinuletDeathTest, SwitchInsideOneThatWaitsForAnother) {
  Continulet<int()> by_switch("waiting", [](auto& self) {
    Continulet<void()> inner("inner", [&](auto&) { self.Switch(1); });
    inner.Switch();
    return 2;
  });
  EXPECT_DEATH(by_switch.Switch(),
               "continulet 'waiting' cannot be switched out of: it is not the "
               "one that runs on this thread");
  Continulet<void()> other("other", [](auto&) {});
  Continulet<void()> by_switch_to("waiting", [&](auto& self) {
    Continulet<void()> inner("inner", [&](auto&) { self.SwitchTo(other); });
    inner.Switch();
  });
  EXPECT_DEATH(by_switch_to.Switch(),
               "continulet 'waiting' cannot be switched out of");
}

TEST_F(ContinuletDeathTest, SwitchInsideAPausedOne) {
  Continulet<void()>::Self* escaped = nullptr;
  Continulet<void()> c("paused", [&](auto& self) {
    escaped = &self;
    self.Switch();
  });
  c.Switch();
  EXPECT_DEATH(escaped->Switch(), "continulet 'paused' cannot be switched out");
}

TEST_F(ContinuletDeathTest, CancelledByOneThatItWaitsFor) {
  Continulet<void()> c("waiting", [&](auto&) {
    Continulet<void()> inner("inner", [&](auto&) { c.Cancel(); });
    inner.Switch();
  });
  EXPECT_DEATH(c.Switch(),
               "continulet 'waiting' cannot be cancelled: it is running");
}

TEST_F(ContinuletDeathTest, SwitchDirectlyToAFinishedOne) {
  Continulet<void()> ended("ended", [](auto&) {});
  ended.Switch();
  Continulet<void()> c("passing", [&](auto& self) { self.SwitchTo(ended); });
  EXPECT_DEATH(c.Switch(),
               "continulet 'ended' cannot be switched to: it is finished");
}

TEST_F(ContinuletDeathTest, SwitchDirectlyToItself) {
  Continulet<void()> c("narcissus", [&](auto& self) { self.SwitchTo(c); });
  EXPECT_DEATH(c.Switch(),
               "continulet 'narcissus' cannot be switched to: it is running");
}

TEST_F(ContinuletDeathTest, SwitchFromAnotherThreadWhilePaused) {
  Continulet<void()> c("settled", [](auto& self) { self.Switch(); });
  c.Switch();
  EXPECT_DEATH(std::thread([&] { c.Switch(); }).join(),
               "continulet 'settled' cannot be switched to: it belongs to "
               "another thread");
}

TEST_F(ContinuletDeathTest, SwitchFromAnotherThreadWhileRunning) {
  EXPECT_DEATH(
      {
        Continulet<void()> c("occupied", [&](auto&) {
          std::thread([&] { c.Switch(); }).join();
        });
        c.Switch();
      },
      "continulet 'occupied' cannot be switched to: it belongs to another "
      "thread");
}

// Threads that follow each other often have the same stack, and so their
// thread-locals at the same addresses.
TEST_F(ContinuletDeathTest, SwitchToOneWhoseThreadHasEnded) {
  Continulet<void()> c("orphan", [](auto& self) { self.Switch(); });
  std::thread([&] { c.Switch(); }).join();
  EXPECT_TRUE(c.is_pending());
  EXPECT_DEATH(
      for (int i = 0; i < 10; ++i) std::thread([&] { c.Switch(); }).join(),
      "continulet 'orphan' cannot be switched to: it belongs to a thread that "
      "has ended");
  // It can be neither resumed nor cancelled: its stack is left as it is.
  // Reachable, or LeakSanitizer would report it.
  [[maybe_unused]] static Continulet<void()>* volatile kept = nullptr;
  kept = new Continulet<void()>(std::move(c));
}

TEST_F(ContinuletDeathTest, DestroyedOnAnotherThread) {
  EXPECT_DEATH(
      {
        Continulet<void()> c("settled", [](auto& self) { self.Switch(); });
        c.Switch();
        std::thread([moved = std::move(c)] {}).join();
      },
      "continulet 'settled' cannot be cancelled: it belongs to another thread");
}

TEST_F(ContinuletDeathTest, DestroyedWhileRunning) {
  EXPECT_DEATH(
      {
        auto* c = static_cast<Continulet<void()>*>(nullptr);
        c = new Continulet<void()>("suicidal", [&](auto&) { delete c; });
        c->Switch();
      },
      "continulet 'suicidal' cannot be cancelled: it is running");
}

TEST_F(ContinuletDeathTest, UsedAfterItWasMovedFrom) {
  Continulet<void()> c("gone", [](auto&) {});
  Continulet<void()> other = std::move(c);
  EXPECT_DEATH(c.Switch(), "used after it had been moved from");
}

TEST_F(ContinuletDeathTest, CancellationSwallowedForever) {
  EXPECT_DEATH(
      {
        Continulet<void()> c("immortal", [](auto& self) {
          for (;;) {
            try {
              self.Switch();
            } catch (...) {
            }
          }
        });
        c.Switch();
        c.Cancel();
      },
      "continulet 'immortal' swallowed its cancellation 100 times");
}

TEST_F(ContinuletDeathTest, SwitchedAwayFromWhileCancelled) {
  EXPECT_DEATH(
      {
        Continulet<void()> other("other", [](auto&) {});
        Continulet<void()> c("escaping", [&](auto& self) {
          try {
            self.Switch();
          } catch (...) {
            self.SwitchTo(other);
          }
        });
        c.Switch();
        c.Cancel();
      },
      "continulet 'escaping' cannot be switched away from: it is being "
      "cancelled");
}

struct PausesInItsDestructor {
  ABSL_ATTRIBUTE_NOINLINE ~PausesInItsDestructor() { self->Switch(); }
  Continulet<void()>::Self* self;
};

TEST_F(ContinuletDeathTest, CancelledWhilePausedInADestructor) {
  EXPECT_DEATH(
      {
        Continulet<void()> c("inextricable", [](auto& self) {
          PausesInItsDestructor object{&self};
        });
        c.Switch();
      },
      "continulet 'inextricable' cannot be cancelled: it is paused inside "
      ".*~PausesInItsDestructor.*, which no exception may leave");
}

ABSL_ATTRIBUTE_NOINLINE void PauseAndNeverThrow(
    Continulet<void()>::Self& self) noexcept {
  self.Switch();
}

TEST_F(ContinuletDeathTest, CancelledWhilePausedInANoexceptFunction) {
  EXPECT_DEATH(
      {
        Continulet<void()> c("inextricable",
                             [](auto& self) { PauseAndNeverThrow(self); });
        c.Switch();
      },
      "continulet 'inextricable' cannot be cancelled: it is paused inside "
      ".*PauseAndNeverThrow.*, which no exception may leave");
}

// Uses about 1 KiB of stack a level and cannot be turned into a loop.
ABSL_ATTRIBUTE_NOINLINE std::uintptr_t Recurse(std::uintptr_t depth) {
  volatile char frame[1024];
  std::memset(const_cast<char*>(frame), static_cast<int>(depth), sizeof(frame));
  if (depth == 0) return static_cast<std::uintptr_t>(frame[17]);
  return Recurse(depth - 1) + static_cast<std::uintptr_t>(frame[17]);
}

TEST_F(ContinuletDeathTest, StackOverflowNamesTheContinulet) {
  EXPECT_DEATH(
      {
        Continulet<void()> c("bottomless", [](auto&) { Recurse(1 << 20); });
        c.Switch();
      },
      "continulet 'bottomless' overflowed its stack of [0-9]+ bytes");
}

TEST_F(ContinuletDeathTest, StackOverflowIsNamedOnEveryThread) {
  EXPECT_DEATH(std::thread([] {
                 Continulet<void()> outer("shallow", [](auto&) {
                   Continulet<void()> inner(
                       "deep", [](auto&) { Recurse(1 << 20); }, 64 << 10);
                   inner.Switch();
                 });
                 outer.Switch();
               }).join(),
               "continulet 'deep' overflowed its stack of [0-9]+ bytes");
}

TEST_F(ContinuletDeathTest, ALargerStackTakesADeeperRecursion) {
  Continulet<bool()> c(
      "roomy",
      [](auto&) {
        Recurse(1 << 10);
        return true;
      },
      8 << 20);
  EXPECT_TRUE(c.Switch());
}

TEST_F(ContinuletDeathTest, AGlobalOneMayBePausedWhenTheProgramExits) {
  EXPECT_EXIT(
      {
        struct Witness {
          ~Witness() { std::fputs("unwound at exit", stderr); }
        };
        static Continulet<void()> c("global", [](auto& self) {
          Witness witness;
          self.Switch();
        });
        c.Switch();
        std::exit(0);
      },
      testing::ExitedWithCode(0), "unwound at exit");
}

// These sanitizers have a handler of their own.
#if !defined(ABSL_HAVE_ADDRESS_SANITIZER) && \
    !defined(ABSL_HAVE_THREAD_SANITIZER)
TEST_F(ContinuletDeathTest, ASignalThatIsSentDoesWhatItDidBefore) {
  EXPECT_EXIT(
      {
        Continulet<void()> c("innocent", [](auto&) { raise(SIGSEGV); });
        c.Switch();
        _exit(1);
      },
      testing::KilledBySignal(SIGSEGV), "");
  EXPECT_EXIT(
      {
        signal(SIGSEGV, SIG_IGN);
        Continulet<void()> c("innocent", [](auto&) { raise(SIGSEGV); });
        c.Switch();
        _exit(42);
      },
      testing::ExitedWithCode(42), "");
}
#endif

TEST_F(ContinuletDeathTest, OtherFaultsGoToThePreviousHandler) {
  EXPECT_EXIT(
      {
        struct sigaction action = {};
        action.sa_handler = [](int) { _exit(42); };
        sigaction(SIGSEGV, &action, nullptr);
        Continulet<void()> c("faulting", [](auto&) {
          volatile std::uintptr_t unmapped = 64;
          *reinterpret_cast<volatile int*>(unmapped) = 1;
        });
        c.Switch();
      },
      testing::ExitedWithCode(42), "");
}

}  // namespace
}  // namespace instar
