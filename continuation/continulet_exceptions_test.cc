// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Exceptions that cross a switch, that are in flight during one, and the one
// that cancels a body.

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/event_log.h"
#include "continuation/continulet.h"
#include "continuation/stack_memory.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::ElementsAre;

TEST(ContinuletExceptionsTest, OneThatLeavesTheBodyArrivesAtTheSwitcher) {
  Continulet<void()> c("throwing", [](auto& self) {
    self.Switch();
    throw std::runtime_error("from the body");
  });
  c.Switch();
  try {
    c.Switch();
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "from the body");
  }
  EXPECT_FALSE(c.is_pending());
  EXPECT_EQ(std::uncaught_exceptions(), 0);
}

TEST(ContinuletExceptionsTest, OneThrownIntoAPausedBodyIsRaisedAtItsSwitch) {
  Continulet<std::string(int)> c("catching", [](auto& self, int) {
    try {
      self.Switch("paused");
    } catch (const std::out_of_range& e) {
      return std::string("caught ") + e.what();
    }
    return std::string("not reached");
  });
  EXPECT_EQ(c.Switch(0), "paused");
  EXPECT_EQ(c.Throw(std::out_of_range("x")), "caught x");
  EXPECT_FALSE(c.is_pending());
}

TEST(ContinuletExceptionsTest, OneThrownIntoTheBodyMayPassThroughIt) {
  Continulet<void()> c("transparent", [](auto& self) { self.Switch(); });
  c.Switch();
  EXPECT_THROW(c.Throw(std::logic_error("through")), std::logic_error);
  EXPECT_FALSE(c.is_pending());
}

TEST(ContinuletExceptionsTest, OneThrownIntoANewOneFinishesIt) {
  bool ran = false;
  Continulet<void()> c("unstarted", [&](auto&) { ran = true; });
  EXPECT_THROW(c.Throw(std::logic_error("early")), std::logic_error);
  EXPECT_FALSE(ran);
  EXPECT_FALSE(c.is_pending());
}

TEST(ContinuletExceptionsTest, ABodyThatLivesOnAfterAThrowCanBeSwitchedTo) {
  Continulet<int()> c("resilient", [](auto& self) {
    for (int caught = 0;; ++caught) {
      try {
        self.Switch(caught);
      } catch (const std::runtime_error&) {
        continue;
      }
      return 100 + caught;
    }
  });
  EXPECT_EQ(c.Switch(), 0);
  EXPECT_EQ(c.Throw(std::runtime_error("1")), 1);
  EXPECT_EQ(c.Throw(std::runtime_error("2")), 2);
  EXPECT_EQ(c.Switch(), 102);
}

// The switches below lie in catch blocks on both sides, and the handlers end in
// the order in which a stack per thread, instead of per continulet, would
// break.
TEST(ContinuletExceptionsTest, SwitchesInCatchBlocksKeepTheirExceptions) {
  Continulet<void()> c("in a handler", [](auto& self) {
    try {
      throw std::runtime_error("inside");
    } catch (const std::runtime_error&) {
      self.Switch();
      try {
        throw;
      } catch (const std::runtime_error& again) {
        EXPECT_STREQ(again.what(), "inside");
      }
    }
    EXPECT_EQ(std::current_exception(), nullptr);
    self.Switch();
  });
  try {
    throw std::runtime_error("outside");
  } catch (const std::runtime_error&) {
    c.Switch();  // comes back from within the body's handler
    try {
      throw;
    } catch (const std::runtime_error& again) {
      EXPECT_STREQ(again.what(), "outside");
    }
  }
  EXPECT_EQ(std::current_exception(), nullptr);
  c.Switch();
  EXPECT_EQ(std::current_exception(), nullptr);
}

TEST(ContinuletExceptionsTest, HandlersInterleaveAcrossManyContinulets) {
  using Worker = Continulet<void()>;
  std::vector<Worker> workers;
  for (int i = 0; i < 10; ++i) {
    workers.emplace_back("worker", [i](Worker::Self& self) {
      for (int round = 0; round < 20; ++round) {
        const std::string text = std::to_string(i * 100 + round);
        try {
          throw std::runtime_error(text);
        } catch (const std::runtime_error&) {
          self.Switch();
          EXPECT_NE(std::current_exception(), nullptr);
          try {
            std::rethrow_exception(std::current_exception());
          } catch (const std::runtime_error& e) {
            EXPECT_EQ(e.what(), text);
            self.Switch();
          }
        }
      }
    });
  }
  for (bool pending = true; pending;) {
    pending = false;
    for (Worker& worker : workers) {
      if (!worker.is_pending()) continue;
      worker.Switch();
      EXPECT_EQ(std::current_exception(), nullptr);
      pending = true;
    }
  }
}

TEST(ContinuletExceptionsTest, SwitchToCarriesExceptionStatesAlong) {
  using Worker = Continulet<void()>;
  Worker second("second", [](Worker::Self& self) {
    EXPECT_EQ(std::current_exception(), nullptr);
    self.Switch();
  });
  Worker first("first", [&](Worker::Self& self) {
    try {
      throw std::runtime_error("first's");
    } catch (...) {
      self.SwitchTo(second);
      try {
        throw;
      } catch (const std::runtime_error& e) {
        EXPECT_STREQ(e.what(), "first's");
      }
    }
  });
  try {
    throw std::runtime_error("ours");
  } catch (...) {
    first.Switch();
    try {
      throw;
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "ours");
    }
  }
  EXPECT_EQ(std::current_exception(), nullptr);
  first.Switch();
  EXPECT_FALSE(first.is_pending());
}

// Captured by a body, switches to another continulet when the body has ended.
struct SwitchesToAnotherWhenDestroyed {
  explicit SwitchesToAnotherWhenDestroyed(Continulet<int()>* to) : to(to) {}
  SwitchesToAnotherWhenDestroyed(SwitchesToAnotherWhenDestroyed&& other)
      : to(std::exchange(other.to, nullptr)) {}
  ~SwitchesToAnotherWhenDestroyed() {
    if (to == nullptr) return;
    EXPECT_EQ(to->Switch(), 1);
    EXPECT_THROW(to->Switch(), std::logic_error);
  }
  Continulet<int()>* to;
};

TEST(ContinuletExceptionsTest, WhatABodyOwnsMaySwitchWhenItIsDestroyed) {
  auto another = [](auto& self) -> int {
    self.Switch(1);
    throw std::logic_error("another's");
  };
  Continulet<int()> first("first", another);
  Continulet<int()> returning(
      "returning",
      [owned = SwitchesToAnotherWhenDestroyed(&first)](auto&) { return 5; });
  EXPECT_EQ(returning.Switch(), 5);
  EXPECT_FALSE(first.is_pending());

  Continulet<int()> second("second", another);
  Continulet<int()> throwing(
      "throwing",
      [owned = SwitchesToAnotherWhenDestroyed(&second)](auto&) -> int {
        throw std::runtime_error("the body's");
      });
  EXPECT_THROW(throwing.Switch(), std::runtime_error);
  EXPECT_FALSE(second.is_pending());
}

struct ThrowsWhenCopied {
  ThrowsWhenCopied() = default;
  ThrowsWhenCopied(const ThrowsWhenCopied&) {
    throw std::runtime_error("not copied");
  }
  void operator()(Continulet<void()>::Self&) const {}
};

TEST(ContinuletExceptionsTest, ABodyThatCannotBeCopiedLosesNoStack) {
  const ThrowsWhenCopied body;
  auto make = [&] { Continulet<void()> c("never made", body); };
  EXPECT_THROW(make(), std::runtime_error);
  const std::size_t mapped = GetStackPoolStats().mapped;
  for (int i = 0; i < 100; ++i) {
    EXPECT_THROW(make(), std::runtime_error);
    EXPECT_THROW(
        static_cast<void>(Continulet<void()>::Make("never made", body)),
        std::runtime_error);
  }
  EXPECT_EQ(GetStackPoolStats().mapped, mapped);
}

struct ThrowsWhenConverted {
  operator std::string() const { throw std::runtime_error("not a string"); }
};

TEST(ContinuletExceptionsTest, AValueThatCannotBeMadeLeavesItAsItWas) {
  int runs = 0;
  {
    Continulet<void(std::string)> c("new", [&](auto& self, std::string) {
      ++runs;
      self.Switch();
    });
    EXPECT_THROW(c.Switch(ThrowsWhenConverted()), std::runtime_error);
    EXPECT_FALSE(c.is_paused());
    EXPECT_TRUE(c.is_pending());
    Continulet<void(std::string)> passing("passing", [&](auto& self,
                                                         std::string) {
      EXPECT_THROW(self.SwitchTo(c, ThrowsWhenConverted()), std::runtime_error);
    });
    passing.Switch("");
    EXPECT_FALSE(c.is_paused());
  }  // destroyed as a new one: the body does not run without its value
  EXPECT_EQ(runs, 0);
}

// Its move constructor throws while `armed`.
struct ThrowsWhenMoved {
  ThrowsWhenMoved() = default;
  ThrowsWhenMoved(ThrowsWhenMoved&&) {
    if (armed) throw std::runtime_error("not moved");
  }
  static bool armed;
};
bool ThrowsWhenMoved::armed = false;

TEST(ContinuletExceptionsTest, AValueThatCannotBeTakenThrowsAtItsReceiver) {
  Continulet<ThrowsWhenMoved()> c("giving", [](auto& self) {
    ThrowsWhenMoved first;
    self.Switch(std::move(first));
    return ThrowsWhenMoved();
  });
  c.Switch();
  ThrowsWhenMoved::armed = true;
  EXPECT_THROW(c.Switch(), std::runtime_error);
  ThrowsWhenMoved::armed = false;
  EXPECT_FALSE(c.is_pending());
}

struct SwitchesWhenDestroyed {
  ~SwitchesWhenDestroyed() {
    Continulet<int()> c("in a destructor", [](auto& self) {
      EXPECT_EQ(std::uncaught_exceptions(), 0);
      self.Switch(1);
      return 2;
    });
    EXPECT_EQ(std::uncaught_exceptions(), 1);
    EXPECT_EQ(c.Switch(), 1);
    EXPECT_EQ(std::uncaught_exceptions(), 1);
    if (finish) {
      EXPECT_EQ(c.Switch(), 2);
    }
    // Otherwise cancelled here, while another exception is in flight.
  }
  bool finish;
};

TEST(ContinuletExceptionsTest, SwitchesWhileAnExceptionIsInFlight) {
  for (const bool finish : {true, false}) {
    try {
      SwitchesWhenDestroyed object{finish};
      throw std::runtime_error("in flight");
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "in flight");
    }
    EXPECT_EQ(std::uncaught_exceptions(), 0);
  }
}

TEST(ContinuletCancellationTest, CancelSaysThatTheBodyWentQuietly) {
  EventLog log;
  Continulet<void()> c("quiet", [&](auto& self) {
    try {
      self.Switch();
    } catch (...) {
      log.Add("cleaned up");
      throw;
    }
  });
  c.Switch();
  EXPECT_TRUE(c.Cancel());
  EXPECT_FALSE(c.is_pending());
  EXPECT_TRUE(c.Cancel());  // nothing happens
  EXPECT_THAT(log.Take(), ElementsAre("cleaned up"));
}

TEST(ContinuletCancellationTest, HandlersOfErrorsLetItPass) {
  bool handled = false;
  Continulet<void()> c("handling", [&](auto& self) {
    try {
      self.Switch();
    } catch (const std::exception&) {
      handled = true;
    }
  });
  c.Switch();
  EXPECT_TRUE(c.Cancel());
  EXPECT_FALSE(handled);
}

TEST(ContinuletCancellationTest, SwallowedAndSwitchedItIsThrownAgain) {
  int swallowed = 0;
  Continulet<void()> c("stubborn", [&](auto& self) {
    while (swallowed < 3) {
      try {
        self.Switch();
      } catch (...) {
        ++swallowed;
      }
    }
    self.Switch();
  });
  c.Switch();
  EXPECT_FALSE(c.Cancel());
  EXPECT_EQ(swallowed, 3);
  EXPECT_FALSE(c.is_pending());
}

TEST(ContinuletCancellationTest, SwallowedAndReturnedItIsReported) {
  Continulet<std::string()> c("returning", [](auto& self) {
    try {
      self.Switch("paused");
    } catch (...) {
    }
    return std::string(100, 'r');  // nobody receives it; nothing leaks
  });
  c.Switch();
  EXPECT_FALSE(c.Cancel());
}

TEST(ContinuletCancellationTest, ReplacedByAnotherExceptionItIsReported) {
  Continulet<void()> c("replacing", [](auto& self) {
    try {
      self.Switch();
    } catch (...) {
      throw std::runtime_error("another");
    }
  });
  c.Switch();
  EXPECT_FALSE(c.Cancel());
  EXPECT_FALSE(c.is_pending());
}

TEST(ContinuletCancellationTest, TheDestructorWarnsOfABodyThatResists) {
  testing::internal::CaptureStderr();
  {
    Continulet<void()> c("resisting", [](auto& self) {
      try {
        self.Switch();
      } catch (...) {
      }
    });
    c.Switch();
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::HasSubstr("continulet 'resisting' resisted"));
}

TEST(ContinuletCancellationTest, ABodyMayUseOtherContinuletsWhileItIsUnwound) {
  EventLog log;
  Continulet<int()> helper("helper", [](auto& self) {
    self.Switch(1);
    return 2;
  });
  {
    Continulet<void()> c("unwound", [&](auto& self) {
      struct AtEnd {
        ~AtEnd() { log->Add("helper says " + std::to_string(h->Switch())); }
        EventLog* log;
        Continulet<int()>* h;
      } at_end{&log, &helper};
      self.Switch();
    });
    c.Switch();
  }
  EXPECT_THAT(log.Take(), ElementsAre("helper says 1"));
  EXPECT_EQ(helper.Switch(), 2);
}

TEST(ContinuletCancellationTest, ContinuletsOwnedByABodyGoWithIt) {
  EventLog log;
  struct Witness {
    ~Witness() { log->Add(event); }
    EventLog* log;
    std::string event;
  };
  {
    Continulet<void()> outer("outer", [&](auto& self) {
      Witness in_outer{&log, "outer unwound"};
      Continulet<void()> inner("inner", [&](auto& inner_self) {
        Witness in_inner{&log, "inner unwound"};
        inner_self.Switch();
      });
      inner.Switch();
      self.Switch();
    });
    outer.Switch();
  }
  EXPECT_THAT(log.Take(), ElementsAre("inner unwound", "outer unwound"));
}

}  // namespace
}  // namespace instar
