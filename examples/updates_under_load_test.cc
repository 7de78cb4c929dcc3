// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Fifty clients use the site manager while it is updated, and it is killed in
// the middle of updates.

#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/client_load.h"
#include "examples/example_program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/control/control_client.h"
#include "manager/control/control_service.h"

namespace site_manager {
namespace {

using instar::ControlClient;

constexpr std::chrono::seconds kPatience(200);
constexpr int kStock = 10000000;
constexpr int kClients = 50;

class UpdatesUnderLoadTest : public testing::TestWithParam<const char*> {
 protected:
  std::string Module(const std::string& name) const {
    return ModulePath(name + GetParam());
  }
};

TEST_P(UpdatesUnderLoadTest, NothingIsLostOrMixed) {
  ExampleProgram program({absl::StrCat("--stock=", kStock), "--period=0.01"});
  ControlClient control = program.Control();
  ClientLoad load(program.port(), kClients);
  load.AwaitAnswers(2);
  for (const char* const name : {"add_ratings", "show_ratings"}) {
    const auto report = control.Load(Module(name), kPatience);
    EXPECT_TRUE(report.ok()) << report.status();
    load.AwaitAnswers(2);
  }
  EXPECT_TRUE(absl::StartsWith(
      program.AwaitDisplay("Brest").value_or("nothing"), "Brest, mark "));
  for (int i = 0; i < 2; ++i) {
    const auto report = control.Undo("", kPatience);
    EXPECT_TRUE(report.ok()) << report.status();
    load.AwaitAnswers(2);
  }
  const LoadReport report = load.Stop();
  EXPECT_EQ(report.errors, std::vector<std::string>());
  EXPECT_EQ(report.answered, report.sent);
  EXPECT_GT(report.rated, 0u);
  EXPECT_GT(report.refused_ratings, 0u);
  // Ratings came at one moment, and went at another one.
  EXPECT_EQ(report.fewest_changes, 2);
  const int ordered = report.ordered.at("chair Brest") + 1;
  EXPECT_EQ(program.Ask("order 1 chair Brest"),
            absl::StrCat("ordered 1 chair, ", kStock - ordered, " left"));
  EXPECT_EQ(program.End(), 0);
}

// The moments at which it is killed.
enum class Killed {
  kWhenAsked,    // the update is asked for
  kWhenWorking,  // its turn has come
  kWhenApplied,
  kWhenUndoing,  // it is asked to be taken back
  kEnd,
};

void Send(ControlClient& control, instar::Command command,
          const std::string& path) {
  instar::Request request;
  request.command = command;
  request.path = path;
  request.timeout = kPatience;
  ASSERT_TRUE(control.Send(request).ok());
}

// Updates the program until that moment.
void Bring(ControlClient& control, const std::string& module, Killed moment) {
  Send(control, instar::Command::kLoad, module);
  if (moment == Killed::kWhenAsked) return;
  while (true) {
    const auto status = control.Status();
    ASSERT_TRUE(status.ok()) << status.status();
    if (!status->applied.empty()) break;
    if (moment == Killed::kWhenWorking &&
        status->pending[0].waits_for.empty()) {
      return;
    }
  }
  if (moment == Killed::kWhenUndoing) Send(control, instar::Command::kUndo, "");
}

TEST_P(UpdatesUnderLoadTest, KilledInTheMiddleOfAnUpdate) {
  const auto directory = std::make_shared<TemporaryDirectory>();
  for (int moment = 0; moment < static_cast<int>(Killed::kEnd); ++moment) {
    SCOPED_TRACE(moment);
    ExampleProgram program({absl::StrCat("--stock=", kStock)}, directory);
    ControlClient control = program.Control();
    const std::string socket = absl::StrCat(directory->path(), "/site_manager.",
                                            program.process().pid(), ".sock");
    // Nothing of the last one is left but the journal.
    std::vector<std::string> files;
    for (const auto& entry :
         std::filesystem::directory_iterator(directory->path())) {
      files.push_back(entry.path());
    }
    EXPECT_THAT(files,
                testing::UnorderedElementsAre(
                    socket, directory->path() + "/site_manager.journal"));
    const auto status = control.Status();
    ASSERT_TRUE(status.ok()) << status.status();
    EXPECT_TRUE(status->applied.empty());
    EXPECT_TRUE(status->pending.empty());
    ClientLoad load(program.port(), kClients);
    load.AwaitAnswers(1);
    Bring(control, Module("add_ratings"), static_cast<Killed>(moment));
    program.process().Signal(SIGKILL);
    EXPECT_EQ(program.process().Wait(), 128 + SIGKILL);
  }
  ExampleProgram program({"--stock=10"}, directory);
  ControlClient control = program.Control();
  const auto report = control.Load(Module("add_ratings"), kPatience);
  EXPECT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(program.Ask("rate 4 chair Brest"),
            "rated: chair has 4.0 of 1 vote, Brest 4.0");
  EXPECT_EQ(program.End(), 0);
}

INSTANTIATE_TEST_SUITE_P(Levels, UpdatesUnderLoadTest,
                         testing::Values("", "_per_thread"),
                         [](const auto& info) {
                           return *info.param == '\0' ? "Plans"
                                                      : "UpdateFunctions";
                         });

}  // namespace
}  // namespace site_manager
