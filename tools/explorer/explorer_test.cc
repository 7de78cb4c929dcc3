// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/explorer/explorer.h"

#include <unistd.h>

#include <chrono>
#include <future>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "threads/controlled_thread.h"
#include "threads/update_point.h"
#include "tools/explorer/till_for_test.h"
#include "updates/update_plan.h"

namespace instar {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<PointOutcome> OutcomesOf(const ExplorerReport& report) {
  std::vector<PointOutcome> outcomes;
  for (const ExploredPoint& point : report.tried) {
    outcomes.push_back(point.outcome);
  }
  return outcomes;
}

// Between sales and in Sell(), in turn, five times.
std::vector<PointOutcome> InTurn(PointOutcome between, PointOutcome inside) {
  std::vector<PointOutcome> outcomes;
  for (int i = 0; i < till::kItems; ++i) {
    outcomes.push_back(between);
    outcomes.push_back(inside);
  }
  return outcomes;
}

// Neither function is active between Quote() and Charge(), and yet it is wrong.
TEST(ExplorerTest, FindsWhereQuiescenceIsNotEnough) {
  const ExplorerReport report =
      Explore(&till::Workload, {"in_euros", &till::InEuros});
  EXPECT_TRUE(report.status.ok()) << report;
  EXPECT_EQ(OutcomesOf(report),
            InTurn(PointOutcome::kRight, PointOutcome::kWrong))
      << report;
  EXPECT_FALSE(report.ok());
  const ExploredPoint* const first = report.FirstFailure();
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->thread, "till");
  EXPECT_EQ(first->number, 2);
  EXPECT_EQ(first->where, "UpdatePoint() in till::Sell(int)");
  EXPECT_THAT(first->stack, ElementsAre("till::Sell(int)", "till::SellAll()"));
  EXPECT_EQ(first->output[0], "item 1 for 100 euros");
  EXPECT_THAT(first->why, AllOf(HasSubstr("line 1"), HasSubstr("100 euros"),
                                HasSubstr("100 cents"), HasSubstr("1 euros")));
  EXPECT_THAT(report.ToString(),
              AllOf(HasSubstr("tried at all 10 update points"),
                    HasSubstr("is right at 5: till 1, 3, 5, 7, 9"),
                    HasSubstr("is WRONG at 5: till 2, 4, 6, 8, 10")));
}

TEST(ExplorerTest, ANamedUpdatePointCuresIt) {
  const ExplorerReport report =
      Explore(&till::Workload, {"in_euros", &till::InEurosBetweenSales});
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_EQ(OutcomesOf(report),
            InTurn(PointOutcome::kRight, PointOutcome::kWaits))
      << report;
  EXPECT_THAT(report.tried[1].why,
              HasSubstr("thread 'till': it comes to no update point 'between "
                        "sales'"));
}

// Of an active thread each entry is a point: when Charge() begins, Quote() has
// answered, and it is not on the stack yet.
TEST(ExplorerTest, TriesEntriesOfActiveThreads) {
  const ExplorerReport report =
      Explore(&till::ActiveWorkload, {"in_euros", &till::InEuros});
  EXPECT_TRUE(report.status.ok()) << report;
  EXPECT_GT(report.points, 10);
  std::map<std::string, std::map<PointOutcome, int>> outcomes;
  for (const ExploredPoint& point : report.tried) {
    ++outcomes[point.where][point.outcome];
  }
  using Outcomes = std::map<PointOutcome, int>;
  EXPECT_EQ(outcomes["entry of till::Quote(int)"],
            (Outcomes{{PointOutcome::kRight, till::kItems}}))
      << report;
  EXPECT_EQ(outcomes["UpdatePoint() in till::Sell(int)"],
            (Outcomes{{PointOutcome::kWrong, till::kItems}}))
      << report;
  EXPECT_EQ(outcomes["entry of till::Charge[abi:cxx11](int, int)"],
            (Outcomes{{PointOutcome::kWrong, till::kItems}}))
      << report;
}

// Caller and callee change what they agree on, in two redefinitions.
TEST(ExplorerTest, FindsWhereCallerAndCalleeAreOfTwoVersions) {
  const ExplorerReport report =
      Explore(&till::Workload, {"one_by_one", &till::OneByOne});
  EXPECT_TRUE(report.status.ok()) << report;
  EXPECT_EQ(OutcomesOf(report),
            InTurn(PointOutcome::kRight, PointOutcome::kWrong))
      << report;
  const ExploredPoint* const first = report.FirstFailure();
  ASSERT_NE(first, nullptr);
  EXPECT_THAT(first->output,
              ElementsAre("item 1 for 100 euros", "item 2 for 2 euros",
                          "item 3 for 3 euros", "item 4 for 4 euros",
                          "item 5 for 5 euros"));
}

TEST(ExplorerTest, ANamedUpdatePointCuresThatToo) {
  const ExplorerReport report =
      Explore(&till::Workload, {"one_by_one", &till::OneByOneBetweenSales});
  EXPECT_TRUE(report.ok()) << report;
  // What is asked for inside is done at the next point that is wanted; after
  // the last there is none.
  std::vector<PointOutcome> expected(10, PointOutcome::kRight);
  expected.back() = PointOutcome::kWaits;
  EXPECT_EQ(OutcomesOf(report), expected) << report;
}

TEST(ExplorerTest, UpdateFunctionsThatNeverBecomeApplicable) {
  const ExplorerReport report =
      Explore(&till::Workload, {"never", &till::NeverInThread});
  EXPECT_EQ(report.Count(PointOutcome::kWaits), 10) << report;
  EXPECT_THAT(std::string(report.status.message()),
              AllOf(HasSubstr("never applied: it waits at 10 of the 10"),
                    HasSubstr("till::SellAll()")));
}

// What the new version says is not taken from a run that goes wrong.
TEST(ExplorerTest, FindsWhatGoesWrongAtTheEarliestPoint) {
  ExplorerOptions options;
  const auto explore = [&] {
    return OutcomesOf(Explore(&till::WorkloadThatBeginsInside,
                              {"in_euros", &till::InEuros}, options));
  };
  EXPECT_THAT(explore(),
              ElementsAre(PointOutcome::kWrong, PointOutcome::kWrong));
  options.applies_before = false;
  EXPECT_THAT(explore(),
              ElementsAre(PointOutcome::kRight, PointOutcome::kWrong));
}

TEST(ExplorerTest, TriesSomeOfManyAndSaysTheShare) {
  ExplorerOptions options;
  options.limit = 4;
  options.jobs = 1;
  int told = 0;
  options.progress = [&](const ExplorerReport&) { ++told; };
  const ExplorerReport report =
      Explore(&till::Workload, {"in_euros", &till::InEuros}, options);
  ASSERT_EQ(report.tried.size(), 4) << report;
  EXPECT_EQ(report.points, 10);
  EXPECT_EQ(told, 4);
  EXPECT_THAT(report.ToString(),
              HasSubstr("tried at 4 of 10 update points, 40 %"));
  EXPECT_EQ(report.tried.front().number, 1);
  EXPECT_EQ(report.tried.back().number, 10);
}

TEST(ExplorerTest, VeryManyPoints) {
  constexpr int kPoints = 100000;
  ExplorerOptions options;
  options.limit = 3;
  const ExplorerReport report = Explore(
      [] {
        StartPassiveThread("till", [] {
          for (int i = 0; i < kPoints; ++i) UpdatePoint();
          till::Sell(1);
        });
      },
      {"in_euros", &till::InEuros}, options);
  EXPECT_EQ(report.points, kPoints + 1) << report;
  EXPECT_EQ(OutcomesOf(report), std::vector<PointOutcome>(
                                    {PointOutcome::kRight, PointOutcome::kRight,
                                     PointOutcome::kWrong}))
      << report;
}

TEST(ExplorerTest, AJudgeOfOnesOwn) {
  ExplorerOptions options;
  options.judge = [](const ExploredRun& run) {
    for (const std::string& line : run.output) {
      if (absl::StrContains(line, "item 3")) {
        return absl::StrContains(line, "euros")
                   ? absl::InternalError("item 3 is sold for euros")
                   : absl::OkStatus();
      }
    }
    return absl::InternalError("item 3 is not sold");
  };
  const ExplorerReport report =
      Explore(&till::Workload, {"in_euros", &till::InEuros}, options);
  for (const ExploredPoint& point : report.tried) {
    EXPECT_EQ(point.outcome,
              point.number <= 6 ? PointOutcome::kWrong : PointOutcome::kRight)
        << report;
  }
}

TEST(ExplorerTest, AThreadThatIsRebooted) {
  const ExplorerReport report =
      Explore(&till::Workload, {"closed", &till::Closed});
  EXPECT_TRUE(report.ok()) << report;
  EXPECT_EQ(report.Count(PointOutcome::kRight), 10) << report;
  EXPECT_THAT(report.ToString(),
              HasSubstr("What the new version says is taken from the earliest "
                        "point"));
}

// An update that refuses itself leaves all as it was.
TEST(ExplorerTest, RefusalsAreTold) {
  const ExplorerReport report =
      Explore(&till::Workload, {"refused", [](UpdatePlan&) {
                                  return absl::UnavailableError("not today");
                                }});
  EXPECT_FALSE(report.ok());
  EXPECT_EQ(report.Count(PointOutcome::kRefused), 10) << report;
  EXPECT_THAT(std::string(report.status.message()),
              AllOf(HasSubstr("never applied"), HasSubstr("not today")));
}

// --- Bad input.

TEST(ExplorerTest, SaysThatAnUpdateIsNeverApplicable) {
  const ExplorerReport report =
      Explore(&till::Workload, {"never", &till::Never});
  EXPECT_FALSE(report.ok());
  EXPECT_EQ(report.Count(PointOutcome::kWaits), 10) << report;
  EXPECT_THAT(std::string(report.status.message()),
              AllOf(HasSubstr("never applied: it waits at 10 of the 10"),
                    HasSubstr("till::SellAll()")));
}

TEST(ExplorerTest, SaysWhatIsNotDeterministic) {
  const ExplorerReport report = Explore(
      [] {
        std::cout << "begins\n"
                  << "process " << getpid() << "\n";
        till::Workload();
      },
      {"in_euros", &till::InEuros});
  EXPECT_FALSE(report.ok());
  EXPECT_THAT(report.tried, IsEmpty());
  EXPECT_THAT(std::string(report.status.message()),
              AllOf(HasSubstr("not deterministic"), HasSubstr("line 2"),
                    HasSubstr("'process ")));
}

TEST(ExplorerTest, SaysThatTheNewVersionIsNotDeterministic) {
  const ExplorerReport report =
      Explore(&till::Workload, {"in_euros", [](UpdatePlan& plan) {
                                  std::cout << "process " << getpid() << "\n";
                                  return till::InEuros(plan);
                                }});
  EXPECT_FALSE(report.ok());
  EXPECT_THAT(std::string(report.status.message()),
              AllOf(HasSubstr("with the update the workload is not determ"),
                    HasSubstr("line 1: 'process ")));
}

TEST(ExplorerTest, SaysWhichPointsAreNotDeterministic) {
  const ExplorerReport report = Explore(
      [] {
        StartPassiveThread("points", [] {
          for (int i = 0; i < getpid(); ++i) UpdatePoint("here");
        });
      },
      {"in_euros", &till::InEuros});
  EXPECT_FALSE(report.ok());
  EXPECT_THAT(std::string(report.status.message()),
              AllOf(HasSubstr("not deterministic"), HasSubstr("'points'"),
                    HasSubstr("its end"), HasSubstr("UpdatePoint(\"here\")")));
}

TEST(ExplorerTest, GoesOnWhenAChildCrashes) {
  const ExplorerReport report =
      Explore(&till::Workload, {"crashing", [](UpdatePlan& plan) {
                                  return till::CrashesIfItBeginsAt(plan, 3);
                                }});
  for (const ExploredPoint& point : report.tried) {
    const bool crashes = point.number == 5 || point.number == 6;
    EXPECT_EQ(point.outcome,
              crashes ? PointOutcome::kCrashes : PointOutcome::kRight)
        << report;
  }
  const ExploredPoint* const first = report.FirstFailure();
  ASSERT_NE(first, nullptr);
  EXPECT_THAT(first->why, HasSubstr("signal 6"));
  EXPECT_THAT(first->stack, ElementsAre("till::SellAll()"));
  EXPECT_THAT(first->errors, ElementsAre("no such item"));
}

TEST(ExplorerTest, GoesOnWhenAChildHangs) {
  ExplorerOptions options;
  options.patience = std::chrono::seconds(4);
  const ExplorerReport report = Explore(
      &till::Workload,
      {"hanging",
       [](UpdatePlan& plan) { return till::HangsIfItBeginsAt(plan, 4); }},
      options);
  for (const ExploredPoint& point : report.tried) {
    const bool hangs = point.number == 7 || point.number == 8;
    EXPECT_EQ(point.outcome,
              hangs ? PointOutcome::kHangs : PointOutcome::kRight)
        << report;
  }
  const ExploredPoint* const first = report.FirstFailure();
  ASSERT_NE(first, nullptr);
  EXPECT_THAT(first->why, AllOf(HasSubstr("thread 'till' is in"),
                                HasSubstr("HangingCharge")));
}

TEST(ExplorerTest, SaysThatTheWorkloadFailsByItself) {
  const ExplorerReport report =
      Explore([] { _exit(3); }, {"in_euros", &till::InEuros});
  EXPECT_THAT(std::string(report.status.message()),
              AllOf(HasSubstr("fails without the update"),
                    HasSubstr("code 3 before the workload has returned")));
}

TEST(ExplorerTest, SaysThatThereAreNoPoints) {
  const ExplorerReport report =
      Explore([] { std::cout << "nothing\n"; }, {"in_euros", &till::InEuros});
  EXPECT_THAT(std::string(report.status.message()),
              HasSubstr("comes to no update point"));
}

TEST(ExplorerTest, ThreadsOfOneNameComeOneAfterTheOther) {
  const auto twice = [] {
    till::Workload();  // has ended when the next one begins
    till::Workload();
  };
  ExplorerOptions options;
  options.limit = 3;
  const ExplorerReport report =
      Explore(twice, {"in_euros", &till::InEurosBetweenSales}, options);
  EXPECT_EQ(report.points, 20) << report;
  EXPECT_EQ(report.failures(), 0) << report;
}

TEST(ExplorerTest, ThreadsOfOneNameAtOnceAreRefusedOrLeftOut) {
  const auto both = [] {
    std::promise<void> end;
    ControlledThread first =
        StartPassiveThread("clerk", [&] { end.get_future().wait(); });
    ControlledThread second = StartPassiveThread("clerk", [&] {
      UpdatePoint();
      end.set_value();
    });
    second.Join();
    till::Workload();
  };
  const ExplorerReport refused = Explore(both, {"in_euros", &till::InEuros});
  EXPECT_THAT(std::string(refused.status.message()),
              HasSubstr("two threads 'clerk' at once"));
  ExplorerOptions options;
  options.threads = {"till"};
  options.limit = 1;
  const ExplorerReport left_out =
      Explore(both, {"in_euros", &till::InEuros}, options);
  EXPECT_TRUE(left_out.ok()) << left_out;
  EXPECT_EQ(left_out.points, 10);
}

TEST(ExplorerTest, WantsToBeAlone) {
  std::promise<void> end;
  std::thread other([&] { end.get_future().wait(); });
  const ExplorerReport report =
      Explore(&till::Workload, {"in_euros", &till::InEuros});
  end.set_value();
  other.join();
  EXPECT_THAT(std::string(report.status.message()),
              HasSubstr("the process has 2 threads"));
}

}  // namespace
}  // namespace instar
