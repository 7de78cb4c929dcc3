// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The site manager takes its two updates while clients use it, at both levels:
// as plans, and with an update function for each thread. What clients and the
// display say is compared with a transcript.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/example_program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/control/control_client.h"
#include "manager/control/control_service.h"

namespace site_manager {
namespace {

using instar::Command;
using instar::ControlClient;
using instar::Reply;
using instar::Request;
using instar::UpdateReport;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::StartsWith;

constexpr std::chrono::seconds kPatience(100);

// The end of the modules' names: that of a plan, or of the other level.
class UpdatesTest : public testing::TestWithParam<const char*> {
 protected:
  std::string Module(const std::string& name) const {
    return ModulePath(name + GetParam());
  }

  // Lines of a transcript.
  std::string Load(const std::string& name) {
    return Text(control_.Load(Module(name), kPatience));
  }
  std::string Undo(const std::string& update = "") {
    return Text(control_.Undo(update, kPatience));
  }
  static std::string Text(const absl::StatusOr<UpdateReport>& report) {
    return report.ok()
               ? report->update
               : absl::StrCat(absl::StatusCodeToString(report.status().code()));
  }
  std::vector<std::string> Applied() {
    std::vector<std::string> names;
    const auto status = control_.Status();
    if (!status.ok()) return {status.status().ToString()};
    for (const auto& applied : status->applied) names.push_back(applied.update);
    return names;
  }
  // Of the objects of that class and version.
  std::size_t Count(const std::string& class_name, const std::string& version) {
    const auto status = control_.Status();
    EXPECT_TRUE(status.ok()) << status.status();
    for (const auto& counts : status->classes) {
      if (counts.class_name == class_name) return counts.OfVersion(version);
    }
    ADD_FAILURE() << "no class " << class_name;
    return 0;
  }
  std::string Display(const std::string& beginning) {
    return program_.AwaitDisplay(beginning).value_or("[the program has ended]");
  }

  std::int64_t Send(Command command, const std::string& path,
                    std::chrono::nanoseconds timeout) {
    Request request;
    request.command = command;
    request.path = path;
    request.timeout = timeout;
    const absl::StatusOr<std::int64_t> id = control_.Send(request);
    EXPECT_TRUE(id.ok()) << id.status();
    return *id;
  }
  absl::StatusOr<UpdateReport> Receive(std::int64_t id) {
    const absl::StatusOr<std::optional<Reply>> reply =
        control_.Receive(id, kPatience);
    if (!reply.ok()) return reply.status();
    if (!reply->has_value()) return absl::InternalError("there is no reply");
    return (*reply)->As<UpdateReport>();
  }
  // Until what is pending waits for something that has this in its name.
  void AwaitPending(const std::string& waits_for) {
    while (true) {
      const auto status = control_.Status();
      ASSERT_TRUE(status.ok()) << status.status();
      for (const auto& pending : status->pending) {
        if (pending.waits_for.find(waits_for) != std::string::npos) return;
      }
    }
  }

  // One program for all tests of a level: each leaves it without updates. (A
  // program that starts reads its own debug information, which takes a while.)
  static ExampleProgram& ProgramOf(const std::string& level) {
    auto& program = (*programs_)[level];
    if (program == nullptr) {
      program = std::make_unique<ExampleProgram>(
          std::vector<std::string>{"--stock=10", "--period=0.01"});
    }
    return *program;
  }
  static void SetUpTestSuite() { programs_ = new Programs; }
  static void TearDownTestSuite() {
    for (const auto& [level, program] : *programs_) {
      EXPECT_EQ(program->End(), 0) << level;
    }
    delete programs_;
  }
  void TearDown() override {
    while (!Applied().empty()) {
      const auto report = control_.Undo("", kPatience);
      ASSERT_TRUE(report.ok()) << report.status();
    }
  }

  ExampleProgram& program_ = ProgramOf(GetParam());
  ControlClient control_ = program_.Control();

 private:
  using Programs = std::map<std::string, std::unique_ptr<ExampleProgram>>;
  static inline Programs* programs_ = nullptr;
};

constexpr char kUnknown[] =
    "unknown command; there is: order QUANTITY PRODUCT SITE";

TEST_P(UpdatesTest, OneAfterTheOtherAndBack) {
  std::vector<std::string> transcript;
  const auto say = [&](std::string line) {
    transcript.push_back(std::move(line));
  };
  say(program_.Ask("order 2 chair Brest"));
  say(program_.Ask("rate 4 chair Brest"));
  say(Load("add_ratings"));
  say(program_.Ask("order 1 chair Brest"));
  say(program_.Ask("rate 4 chair Brest"));
  say(program_.Ask("rate 3 chair Brest"));
  say(program_.Ask("rate 9 chair Brest"));
  say(program_.Ask("rate 4 sofa Brest"));
  say(program_.Ask("rate 4 chair Paris"));
  say(program_.Ask("hello"));
  say(Display("Brest"));
  say(Load("show_ratings"));
  say(Display("Brest,"));
  say(Display("Nantes,"));
  say(program_.Ask("rate 5 table Brest"));
  say(Display("Brest, mark 4.2"));
  EXPECT_THAT(Applied(), ElementsAre("ratings", "show_ratings"));
  say(Undo());
  say(Display("Brest:"));
  say(program_.Ask("rate 1 lamp Nantes"));
  say(Undo());
  say(program_.Ask("rate 4 chair Brest"));
  say(program_.Ask("order 1 chair Brest"));
  say(Display("Brest:"));
  EXPECT_THAT(Applied(), ElementsAre());
  EXPECT_THAT(
      transcript,
      ElementsAre(
          "ordered 2 chair, 8 left", kUnknown, "ratings",
          "ordered 1 chair, 7 left",
          "rated: chair has 4.0 of 1 vote, Brest 4.0",
          "rated: chair has 3.5 of 2 votes, Brest 3.5", "marks are from 0 to 5",
          "no such product: sofa", "no such site: Paris",
          "unknown command; there are: order QUANTITY PRODUCT SITE, rate MARK "
          "PRODUCT SITE",
          "Brest: chair 7, table 10", "show_ratings",
          "Brest, mark 3.5: chair 7 (3.5 of 2 votes), table 10 (no votes)",
          "Nantes, mark 0.0: lamp 10 (no votes)",
          "rated: table has 5.0 of 1 vote, Brest 4.2",
          "Brest, mark 4.2: chair 7 (3.5 of 2 votes), table 10 (5.0 of 1 "
          "vote)",
          "show_ratings", "Brest: chair 7, table 10",
          "rated: lamp has 1.0 of 1 vote, Nantes 1.0", "ratings", kUnknown,
          "ordered 1 chair, 6 left", "Brest: chair 6, table 10"));
}

// Products are converted when they are used, and sites at once.
TEST_P(UpdatesTest, ObjectsByVersion) {
  ASSERT_EQ(Load("add_ratings"), "ratings");
  EXPECT_EQ(Count("site_manager::Site", "site_manager::SiteV2"), 2u);
  program_.Ask("rate 4 lamp Nantes");
  EXPECT_GE(Count("site_manager::Product", "site_manager::ProductV2"), 1u);
  ASSERT_EQ(Undo(), "ratings");
  EXPECT_EQ(Count("site_manager::Site", "site_manager::Site"), 2u);
  EXPECT_EQ(Count("site_manager::Product", "site_manager::Product"), 3u);
}

TEST_P(UpdatesTest, TheSecondWaitsForTheFirst) {
  const std::int64_t second =
      Send(Command::kLoad, Module("show_ratings"), kPatience);
  AwaitPending("ratings");
  EXPECT_THAT(Applied(), ElementsAre());
  EXPECT_THAT(Display("Brest"), StartsWith("Brest: chair "));
  EXPECT_EQ(Load("add_ratings"), "ratings");
  EXPECT_EQ(Text(Receive(second)), "show_ratings");
  EXPECT_THAT(Applied(), ElementsAre("ratings", "show_ratings"));
  EXPECT_EQ(Display("Nantes,"), "Nantes, mark 0.0: lamp 10 (no votes)");
}

TEST_P(UpdatesTest, TheSecondIsRefusedIfTheFirstDoesNotCome) {
  absl::StatusOr<UpdateReport> late;
  std::chrono::milliseconds timeout(20);
  do {  // until there is time enough for its turn to come
    late = control_.Load(Module("show_ratings"), timeout *= 2);
    ASSERT_TRUE(absl::IsDeadlineExceeded(late.status())) << late.status();
  } while (absl::StrContains(late.status().message(), "turn"));
  EXPECT_THAT(std::string(late.status().message()),
              AllOf(HasSubstr("'ratings'"), HasSubstr("requires")));
  EXPECT_THAT(Applied(), ElementsAre());
  EXPECT_THAT(Display("Brest"), StartsWith("Brest: chair "));
  // It can be asked for again.
  EXPECT_EQ(Load("add_ratings"), "ratings");
  EXPECT_EQ(Load("show_ratings"), "show_ratings");
}

TEST_P(UpdatesTest, Twice) {
  EXPECT_EQ(Load("add_ratings"), "ratings");
  program_.Ask("rate 2 lamp Nantes");
  EXPECT_EQ(Load("add_ratings"), "ALREADY_EXISTS");
  EXPECT_THAT(Applied(), ElementsAre("ratings"));
  EXPECT_EQ(program_.Ask("rate 4 lamp Nantes"),
            "rated: lamp has 3.0 of 2 votes, Nantes 3.0");
}

TEST_P(UpdatesTest, UndoneAndRedone) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Load("add_ratings"), "ratings");
    EXPECT_EQ(program_.Ask("rate 4 chair Brest"),
              "rated: chair has 4.0 of 1 vote, Brest 4.0");
    EXPECT_EQ(Load("show_ratings"), "show_ratings");
    EXPECT_THAT(Display("Brest,"),
                MatchesRegex("Brest, mark 4.0: chair [0-9]+ \\(4.0 of 1 vote\\)"
                             ", table 10 \\(no votes\\)"));
    // Only the latest can be taken back.
    EXPECT_EQ(Undo("ratings"), "FAILED_PRECONDITION");
    EXPECT_EQ(Undo(), "show_ratings");
    EXPECT_EQ(Undo(), "ratings");  // the marks are gone
    EXPECT_EQ(program_.Ask("rate 4 chair Brest"), kUnknown);
    EXPECT_THAT(Display("Brest"), StartsWith("Brest: chair "));
  }
  EXPECT_EQ(Undo(), "FAILED_PRECONDITION");
}

// A module as it would be delivered: what it needs of itself is not in what
// `strip` takes away.
class StrippedModuleTest : public UpdatesTest {};

TEST_P(StrippedModuleTest, AppliedUndoneAndAppliedAgain) {
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(program_.Ask("rate 4 chair Brest"), kUnknown);
    EXPECT_EQ(Load("add_ratings"), "ratings");
    EXPECT_EQ(Count("site_manager::Site", "site_manager::SiteV2"), 2u);
    EXPECT_EQ(program_.Ask("rate 4 chair Brest"),
              "rated: chair has 4.0 of 1 vote, Brest 4.0");
    EXPECT_EQ(Undo(), "ratings");
    EXPECT_EQ(Count("site_manager::Site", "site_manager::Site"), 2u);
    EXPECT_EQ(Count("site_manager::Product", "site_manager::Product"), 3u);
  }
  EXPECT_EQ(Load("add_ratings"), "ratings");
  EXPECT_EQ(program_.Ask("rate 2 chair Brest"),
            "rated: chair has 2.0 of 1 vote, Brest 2.0");
}

INSTANTIATE_TEST_SUITE_P(Plan, StrippedModuleTest, testing::Values("_stripped"),
                         [](const auto&) { return "AddRatings"; });

INSTANTIATE_TEST_SUITE_P(Levels, UpdatesTest,
                         testing::Values("", "_per_thread"),
                         [](const auto& info) {
                           return *info.param == '\0' ? "Plans"
                                                      : "UpdateFunctions";
                         });

}  // namespace
}  // namespace site_manager
