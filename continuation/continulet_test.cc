// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The five rules of figure 2, and what passes with a switch.

#include "continuation/continulet.h"

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/event_log.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Writes to a log when it is destroyed.
class Witness {
 public:
  Witness(EventLog* log, std::string event)
      : log_(log), event_(std::move(event)) {}
  Witness(const Witness&) = delete;
  ~Witness() { log_->Add(event_); }

 private:
  EventLog* log_;
  std::string event_;
};

TEST(ContinuletTest, Rule1FirstSwitchStartsTheBodyOnItsOwnStack) {
  int on_this_stack = 0;
  std::uintptr_t address_in_body = 0;
  bool ran = false;
  Continulet<void()> c("first", [&](auto&) {
    int local = 0;
    address_in_body = reinterpret_cast<std::uintptr_t>(&local);
    ran = true;
  });
  EXPECT_FALSE(ran);
  c.Switch();
  EXPECT_TRUE(ran);
  const auto here = reinterpret_cast<std::uintptr_t>(&on_this_stack);
  const std::uintptr_t distance =
      here > address_in_body ? here - address_in_body : address_in_body - here;
  EXPECT_GT(distance, kDefaultStackSize / 2);
}

TEST(ContinuletTest, Rules2And3SwitchInsidePausesAndTheNextSwitchResumes) {
  EventLog log;
  Continulet<void()> c("alternating", [&](auto& self) {
    for (int i = 0; i < 3; ++i) {
      log.Add("B" + std::to_string(i));
      self.Switch();
    }
    log.Add("B ends");
  });
  while (c.is_pending()) {
    log.Add("A");
    c.Switch();
  }
  EXPECT_THAT(log.Take(),
              ElementsAre("A", "B0", "A", "B1", "A", "B2", "A", "B ends"));
}

TEST(ContinuletTest, Rule4TheBodyEndsAndTheContinuletIsFinished) {
  Continulet<int(int)> c("adder", [](auto& self, int sum) {
    for (int i = 0; i < 2; ++i) sum += self.Switch(sum);
    return sum;
  });
  EXPECT_EQ(c.Switch(1), 1);
  EXPECT_TRUE(c.is_pending());
  EXPECT_EQ(c.Switch(10), 11);
  EXPECT_EQ(c.Switch(100), 111);
  EXPECT_FALSE(c.is_pending());
  EXPECT_FALSE(c.is_paused());
}

TEST(ContinuletTest, Rule5OwnerGoesAwayFirstAndThePausedBodyIsUnwound) {
  EventLog log;
  {
    Continulet<void()> c("abandoned", [&](auto& self) {
      Witness outer(&log, "outer destroyed");
      auto deeper = [&] {
        Witness inner(&log, "inner destroyed");
        self.Switch();
        log.Add("never");
      };
      deeper();
      log.Add("never");
    });
    c.Switch();
    log.Add("owner ends");
  }
  EXPECT_THAT(log.Take(),
              ElementsAre("owner ends", "inner destroyed", "outer destroyed"));
}

TEST(ContinuletTest, ABodyThatNeverStartedIsOnlyDestroyed) {
  EventLog log;
  {
    auto witness = std::make_unique<Witness>(&log, "callable destroyed");
    Continulet<void()> c("unstarted", [&log, w = std::move(witness)](auto&) {
      log.Add("never");
    });
    EXPECT_TRUE(c.is_pending());
    EXPECT_FALSE(c.is_paused());
    EXPECT_THAT(log.Events(), IsEmpty());
  }
  EXPECT_THAT(log.Take(), ElementsAre("callable destroyed"));
}

TEST(ContinuletTest, TheCallableIsDestroyedWhenTheBodyEnds) {
  auto shared = std::make_shared<int>(7);
  std::weak_ptr<int> weak = shared;
  Continulet<int()> c("capturing",
                      [shared = std::move(shared)](auto&) { return *shared; });
  EXPECT_FALSE(weak.expired());
  EXPECT_EQ(c.Switch(), 7);
  EXPECT_TRUE(weak.expired());
}

TEST(ContinuletTest, StatesAreReported) {
  Continulet<void()> c("stateful", [&](auto& self) {
    EXPECT_TRUE(c.is_pending());
    EXPECT_FALSE(c.is_paused());  // running
    self.Switch();
  });
  EXPECT_EQ(c.name(), "stateful");
  EXPECT_TRUE(c.is_pending());
  EXPECT_FALSE(c.is_paused());  // new
  c.Switch();
  EXPECT_TRUE(c.is_pending());
  EXPECT_TRUE(c.is_paused());
  c.Switch();
  EXPECT_FALSE(c.is_pending());
  EXPECT_FALSE(c.is_paused());  // finished
}

TEST(ContinuletTest, TheNameIsKeptUpToItsLimit) {
  const std::string name(100, 'n');
  Continulet<void()> c(
      name, [&](auto& self) { EXPECT_EQ(self.name(), name.substr(0, 39)); });
  c.Switch();
}

TEST(ContinuletTest, MoveOnlyValuesPassInBothDirections) {
  Continulet<std::unique_ptr<int>(std::unique_ptr<int>)> c(
      "doubler", [](auto& self, std::unique_ptr<int> value) {
        while (*value != 0) {
          *value *= 2;
          value = self.Switch(std::move(value));
        }
        return std::make_unique<int>(-1);
      });
  EXPECT_EQ(*c.Switch(std::make_unique<int>(4)), 8);
  EXPECT_EQ(*c.Switch(std::make_unique<int>(5)), 10);
  EXPECT_EQ(*c.Switch(std::make_unique<int>(0)), -1);
}

TEST(ContinuletTest, ReferencesPassWithoutACopy) {
  int in = 1;
  int out = 2;
  Continulet<int&(int&)> c("referring", [&](auto& self, int& first) -> int& {
    EXPECT_EQ(&first, &in);
    int& second = self.Switch(out);
    EXPECT_EQ(&second, &in);
    return out;
  });
  EXPECT_EQ(&c.Switch(in), &out);
  EXPECT_EQ(&c.Switch(in), &out);
}

TEST(ContinuletTest, ReferencesToArraysAndToBasesPass) {
  struct Base {};
  struct Derived : Base {};
  int numbers[3] = {1, 2, 3};
  Derived derived;
  Continulet<const Base&(int(&)[3])> c(
      "referring", [&](auto& self, int(&first)[3]) -> const Base& {
        EXPECT_EQ(&first, &numbers);
        int(&second)[3] = self.Switch(derived);
        EXPECT_EQ(&second, &numbers);
        return derived;
      });
  EXPECT_EQ(&c.Switch(numbers), &derived);
  EXPECT_EQ(&c.Switch(numbers), &derived);
}

// Can be neither copied nor made without an argument.
struct Ticket {
  explicit Ticket(int number) : number(number) {}
  Ticket(Ticket&&) = default;
  int number;
};

TEST(ContinuletTest, ConstAndMoveOnlyTypesPass) {
  Continulet<const std::string(Ticket)> c("typed", [](auto& self, Ticket one) {
    Ticket two = self.Switch(std::to_string(one.number));
    return std::to_string(two.number);
  });
  EXPECT_EQ(c.Switch(Ticket(1)), "1");
  EXPECT_EQ(c.Switch(Ticket(2)), "2");
}

int AddNext(Continulet<int(int)>::Self& self, int first) {
  return first + self.Switch(first);
}

TEST(ContinuletTest, ABodyMayBeAnyCallable) {
  using Adder = Continulet<int(int)>;
  std::vector<Adder> all;
  all.emplace_back("function", AddNext);
  all.emplace_back("pointer", &AddNext);
  const std::function<int(Adder::Self&, int)> function = AddNext;
  all.emplace_back("std::function", function);
  for (Adder& c : all) {
    EXPECT_EQ(c.Switch(1), 1);
    EXPECT_EQ(c.Switch(2), 3);
  }
}

TEST(ContinuletTest, ValuesAreConvertedToTheContinuletsTypes) {
  Continulet<std::string(double)> c("converting", [](auto& self, double first) {
    EXPECT_EQ(first, 3.0);
    self.Switch("a literal");
    return "another";
  });
  EXPECT_EQ(c.Switch(3), "a literal");
  EXPECT_EQ(c.Switch(4.5f), "another");
}

// Counts its living instances.
class Counted {
 public:
  explicit Counted(int* living) : living_(living) { ++*living_; }
  Counted(Counted&& other) noexcept : living_(other.living_) { ++*living_; }
  ~Counted() { --*living_; }

 private:
  int* living_;
};

TEST(ContinuletTest, EveryPassedValueIsDestroyedOnce) {
  int living = 0;
  {
    Continulet<Counted(Counted)> c("counting", [&](auto& self, Counted) {
      self.Switch(Counted(&living));
      return Counted(&living);
    });
    c.Switch(Counted(&living));
    c.Switch(Counted(&living));
    EXPECT_FALSE(c.is_pending());
    EXPECT_EQ(living, 0);
  }
  EXPECT_EQ(living, 0);
}

TEST(ContinuletTest, AValueOnItsWayIsDestroyedWhenTheBodyIsCancelled) {
  int living = 0;
  {
    Continulet<Counted()> c("counting", [&](auto& self) {
      Counted local(&living);
      self.Switch(Counted(&living));
      return Counted(&living);
    });
    c.Switch();
    EXPECT_EQ(living, 3);  // `local`, the argument, and the one on its way
  }
  EXPECT_EQ(living, 0);
}

TEST(ContinuletTest, NestsToAnyDepth) {
  constexpr int kDepth = 200;
  std::vector<int> order;
  std::function<void(int)> descend = [&](int depth) {
    if (depth == kDepth) return;
    Continulet<void()> c("level " + std::to_string(depth), [&](auto& self) {
      order.push_back(depth);
      descend(depth + 1);
      self.Switch();
      order.push_back(-depth);
    });
    c.Switch();
    c.Switch();
  };
  descend(0);
  ASSERT_EQ(order.size(), 2u * kDepth);
  for (int i = 0; i < kDepth; ++i) {
    EXPECT_EQ(order[i], i);
    EXPECT_EQ(order[kDepth + i], -(kDepth - 1 - i));
  }
}

TEST(ContinuletTest, ABodyMaySwitchToAnotherAndBeResumedFromElsewhere) {
  EventLog log;
  Continulet<void()> inner("inner", [&](auto& self) {
    log.Add("inner 1");
    self.Switch();
    log.Add("inner 2");
  });
  Continulet<void()> outer("outer", [&](auto&) {
    inner.Switch();  // started within `outer`
    log.Add("outer");
  });
  outer.Switch();
  inner.Switch();  // resumed by the thread itself
  EXPECT_THAT(log.Take(), ElementsAre("inner 1", "outer", "inner 2"));
}

TEST(ContinuletTest, SwitchToGoesOnWithAnotherInTheSameSwitchersPlace) {
  EventLog log;
  using Speaker = Continulet<std::string(std::string)>;
  std::optional<Speaker> b;
  Speaker a("a", [&](auto& self, std::string said) {
    log.Add("a hears " + said);
    said = self.SwitchTo(*b, "hello from a");
    log.Add("a hears " + said);
    return "a's end";
  });
  b.emplace("b", [&](auto& self, std::string said) {
    log.Add("b hears " + said);
    said = self.Switch("b pauses");  // arrives where a was switched to
    log.Add("b hears " + said);
    said = self.SwitchTo(a, "hello from b");
    log.Add("never");
    return "";
  });
  EXPECT_EQ(a.Switch("start"), "b pauses");
  EXPECT_TRUE(a.is_paused());
  EXPECT_TRUE(b->is_paused());
  EXPECT_EQ(b->Switch("again"), "a's end");
  EXPECT_FALSE(a.is_pending());
  EXPECT_TRUE(b->is_paused());
  EXPECT_THAT(log.Take(), ElementsAre("a hears start", "b hears hello from a",
                                      "b hears again", "a hears hello from b"));
}

TEST(ContinuletTest, ARingOfContinuletsPassesATokenAround) {
  constexpr int kMembers = 5;
  constexpr int kRounds = 1000;
  std::vector<Continulet<int(int)>> ring;
  ring.reserve(kMembers);
  for (int i = 0; i < kMembers; ++i) {
    ring.emplace_back("member", [&ring, i](auto& self, int token) {
      while (token < kMembers * kRounds) {
        token = self.SwitchTo(ring[(i + 1) % kMembers], token + 1);
      }
      return token;
    });
  }
  EXPECT_EQ(ring[0].Switch(0), kMembers * kRounds);
}

TEST(ContinuletTest, MovingTheHandleMovesTheContinulet) {
  std::vector<Continulet<int()>> all;
  for (int i = 0; i < 20; ++i) {
    all.emplace_back("moved", [i](auto& self) {
      self.Switch(i);
      return -i;
    });
    EXPECT_EQ(all.back().Switch(), i);  // paused while the vector grows
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(all[i].Switch(), -i);
}

TEST(ContinuletTest, AssigningCancelsWhatWasThere) {
  EventLog log;
  Continulet<void()> c("old", [&](auto& self) {
    Witness witness(&log, "old cancelled");
    self.Switch();
  });
  c.Switch();
  c = Continulet<void()>("new", [](auto&) {});
  EXPECT_THAT(log.Take(), ElementsAre("old cancelled"));
  EXPECT_EQ(c.name(), "new");
}

TEST(ContinuletTest, ANewOneMayBeHandedToAnotherThread) {
  int result = 0;
  Continulet<int()> c("travelling", [](auto& self) {
    self.Switch(1);
    return 2;
  });
  std::thread([&] {
    EXPECT_EQ(c.Switch(), 1);
    result = c.Switch();
  }).join();
  EXPECT_EQ(result, 2);
  EXPECT_FALSE(c.is_pending());  // finished: destroyed here
}

TEST(ContinuletTest, AThreadLocalOneIsCancelledWhenItsThreadEnds) {
  static EventLog& log = *new EventLog;
  std::thread([] {
    // Made before the thread's first switch, destroyed after what that
    // prepared.
    static thread_local Continulet<int()> c("thread-local", [](auto& self) {
      Witness witness(&log, "unwound");
      Continulet<int()> late("late", [](auto& self) {
        self.Switch(2);
        return 3;
      });
      try {
        self.Switch(1);
      } catch (...) {  // a thread that ends may still start continulets
        log.Add("late says " + std::to_string(late.Switch()));
        throw;
      }
      return 0;
    });
    EXPECT_EQ(c.Switch(), 1);
  }).join();
  EXPECT_THAT(log.Take(), ElementsAre("late says 2", "unwound"));
}

TEST(ContinuletTest, ALargeOverAlignedCallableLiesAtTheStacksEnd) {
  struct alignas(128) Aligned {
    std::array<char, 1024> bytes;
  };
  Aligned captured;
  captured.bytes.fill('x');
  Continulet<int()> c("aligned", [captured](auto&) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&captured) % 128, 0u);
    return static_cast<int>(captured.bytes[1023]);
  });
  EXPECT_EQ(c.Switch(), 'x');
}

TEST(ContinuletTest, TheStackIsAlignedForVectorInstructions) {
  Continulet<std::uintptr_t()> c("aligned", [](auto&) {
    alignas(16) volatile char bytes[16] = {};
    return reinterpret_cast<std::uintptr_t>(&bytes) % 16;
  });
  EXPECT_EQ(c.Switch(), 0u);
}

TEST(ContinuletTest, MakeReportsWhatTheSystemRefuses) {
  absl::StatusOr<Continulet<void()>> c = Continulet<void()>::Make(
      "too large", [](auto&) {}, std::size_t{1} << 60);
  EXPECT_EQ(c.status().code(), absl::StatusCode::kResourceExhausted);
  c = Continulet<void()>::Make(
      "modest", [](auto&) {}, 32 << 10);
  ASSERT_TRUE(c.ok());
  c->Switch();
}

}  // namespace
}  // namespace instar
