// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/control_server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/control/control_client.h"
#include "manager/control/control_test/control_server_for_test.h"
#include "manager/control/fake_control_service.h"
#include "manager/control/frame.h"
#include "manager/control/protocol.h"
#include "manager/control/report_json.h"

namespace instar {
namespace {

using std::chrono::hours;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(ControlServerTest, AnswersEveryRequest) {
  Start();
  ControlClient client = Connect();
  EXPECT_EQ(ToJson(*client.Program()), ToJson(SampleProgram()));
  EXPECT_EQ(ToJson(*client.Images()), ToJson(ImagesReport{SampleImages()}));
  EXPECT_EQ(ToJson(*client.Status()), ToJson(SampleStatus()));
  EXPECT_EQ(ToJson(*client.Log()), ToJson(JournalReport{SampleJournal(), 0}));
  EXPECT_THAT(client.Cancel("ratings")->updates, ElementsAre("ratings"));
  EXPECT_THAT(service_.cancelled(), ElementsAre("ratings"));

  std::thread answers([this] {
    FakeControlService::Call load = service_.Next();
    EXPECT_EQ(load.command, "load");
    EXPECT_EQ(load.argument, "/m.so");
    EXPECT_EQ(load.timeout, std::chrono::seconds(5));
    EXPECT_EQ(load.by.process, getpid());
    EXPECT_EQ(load.by.user, getuid());
    load.done_update(SampleUpdate());
    FakeControlService::Call undo = service_.Next();
    EXPECT_EQ(undo.command, "undo");
    EXPECT_EQ(undo.argument, "ratings");
    EXPECT_EQ(undo.by.process, getpid());
    undo.done_update(SampleUpdate());
    FakeControlService::Call check = service_.Next();
    EXPECT_EQ(check.command, "check");
    EXPECT_EQ(check.argument, "/n.so");
    check.done_check(SampleCheck());
    check = service_.Next();
    EXPECT_EQ(check.command, "check without stacks");
    check.done_check(SampleCheck());
  });
  EXPECT_EQ(ToJson(*client.Load("/m.so", std::chrono::seconds(5))),
            ToJson(SampleUpdate()));
  EXPECT_EQ(ToJson(*client.Undo("ratings")), ToJson(SampleUpdate()));
  EXPECT_EQ(ToJson(*client.Check("/n.so")), ToJson(SampleCheck()));
  EXPECT_TRUE(client.Check("/n.so", /*without_stacks=*/true).ok());
  answers.join();
}

// The program may see other files than its client does.
TEST_F(ControlServerTest, AModuleIsSentItself) {
  Start();
  ControlClient client = Connect();
  std::vector<std::string> paths;
  std::vector<std::int64_t> ids;
  for (const char* const contents : {"first", "", "third"}) {
    Request request;
    request.command = ids.size() == 2 ? Command::kCheck : Command::kLoad;
    request.path = absl::StrCat(testing::TempDir(), "/module", ids.size());
    paths.push_back(request.path);
    if (*contents != '\0') std::ofstream(request.path) << contents;
    ids.push_back(*client.Send(request));
  }
  for (const std::string& path : paths) unlink(path.c_str());
  FakeControlService::Call call = service_.Next();
  EXPECT_EQ(call.argument, paths[0]);
  EXPECT_EQ(call.sent, "first");
  call.done_update(SampleUpdate());
  call = service_.Next();  // which is not there, and may be elsewhere
  EXPECT_EQ(call.argument, paths[1]);
  EXPECT_EQ(call.sent, "");
  call.done_update(SampleUpdate());
  call = service_.Next();
  EXPECT_EQ(call.argument, paths[2]);
  EXPECT_EQ(call.sent, "third");
  call.done_check(SampleCheck());
  for (const std::int64_t id : ids) {
    EXPECT_TRUE((*client.Receive(id, hours(1)))->status().ok());
  }
}

TEST_F(ControlServerTest, AFileThatDidNotComeIsMissed) {
  Start();
  RawClient client(server_->socket_path());
  client.Send(MakeFrame(
      R"({"version":1,"id":7,"request":"load","path":"/m","sends_file":true})"));
  const std::optional<Reply> reply = client.Receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->id(), 7);
  EXPECT_THAT(std::string(reply->status().message()),
              HasSubstr("no file came with the request"));
}

TEST_F(ControlServerTest, ErrorsKeepTheirCodesAndMessages) {
  Start();
  ControlClient client = Connect();
  const absl::Status error = absl::NotFoundError("nothing is pending");
  service_.set_cancel_result(error);
  EXPECT_EQ(client.Cancel("").status(), error);
  service_.set_journal(absl::DataLossError("the journal is damaged"));
  EXPECT_EQ(client.Log().status(),
            absl::DataLossError("the journal is damaged"));
  std::thread answers([this] {
    service_.Next().done_update(absl::DeadlineExceededError("blocked"));
    service_.Next().done_check(absl::InvalidArgumentError("no module"));
  });
  EXPECT_EQ(client.Load("/m.so").status(),
            absl::DeadlineExceededError("blocked"));
  EXPECT_EQ(client.Check("/m.so").status(),
            absl::InvalidArgumentError("no module"));
  answers.join();
}

TEST_F(ControlServerTest, TheLogIsCutToTheLatest) {
  Start();
  const auto log = Connect().Log(2);
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_EQ(log->omitted, 1u);
  ASSERT_EQ(log->entries.size(), 2u);
  EXPECT_EQ(log->entries[0].event, "applied");
  EXPECT_EQ(Connect().Log(0)->omitted, 3u);

  JournalEntry entry;
  entry.detail = std::string(3000, 'x');
  service_.set_journal(std::vector<JournalEntry>(1000, entry));
  const auto fitting = Connect().Log(1000);
  ASSERT_TRUE(fitting.ok()) << fitting.status();
  EXPECT_GT(fitting->entries.size(), 100u);
  EXPECT_EQ(fitting->entries.size() + fitting->omitted, 1000u);
}

TEST_F(ControlServerTest, RepliesComeInAnyOrder) {
  Start();
  ControlClient client = Connect();
  Request load;
  load.command = Command::kLoad;
  load.path = "/1.so";
  const std::int64_t first = *client.Send(load);
  load.path = "/2.so";
  const std::int64_t second = *client.Send(load);
  FakeControlService::Call first_call = service_.Next();
  FakeControlService::Call second_call = service_.Next();
  EXPECT_EQ(second_call.argument, "/2.so");
  EXPECT_TRUE(client.Status().ok());  // while both are waiting
  second_call.done_update(absl::AbortedError("second"));
  EXPECT_EQ((*client.Receive(second, hours(1)))->status(),
            absl::AbortedError("second"));
  first_call.done_update(SampleUpdate());
  EXPECT_TRUE((*client.Receive(first, hours(1)))->status().ok());
}

TEST_F(ControlServerTest, ServesSeveralClientsAtOnce) {
  Start();
  std::vector<std::thread> clients;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([this] {
      ControlClient client = Connect();
      for (int k = 0; k < 50; ++k) EXPECT_TRUE(client.Status().ok());
    });
  }
  for (std::thread& client : clients) client.join();
}

TEST_F(ControlServerTest, DoneMayBeCalledBeforeLoadReturns) {
  class Immediate : public FakeControlService {
    void Load(ModuleSource, std::chrono::nanoseconds, const Requester&,
              Done<UpdateReport> done) override {
      done(absl::FailedPreconditionError("at once"));
    }
  } service;
  auto server = ControlServer::Start(service, "immediate");
  ASSERT_TRUE(server.ok()) << server.status();
  auto client = ControlClient::Connect(server->socket_path());
  EXPECT_EQ(client->Load("/m.so").status(),
            absl::FailedPreconditionError("at once"));
}

// The end.

TEST_F(ControlServerTest, DoneMayBeCalledAfterTheEnd) {
  Start();
  ControlClient client = Connect();
  Request load;
  load.command = Command::kLoad;
  load.path = "/m.so";
  EXPECT_TRUE(client.Send(load).ok());
  EXPECT_TRUE(client.Send(load).ok());
  FakeControlService::Call first = service_.Next();
  FakeControlService::Call second = service_.Next();
  const std::string path = server_->socket_path();
  server_->Stop();
  first.done_update(SampleUpdate());
  struct stat status;
  EXPECT_NE(stat(path.c_str(), &status), 0);
  EXPECT_TRUE(absl::IsUnavailable(client.Status().status()));
  server_->Stop();
  server_.reset();
  second.done_update(SampleUpdate());
}

TEST_F(ControlServerTest, WhatWasAnsweredBeforeTheEndIsSent) {
  for (int round = 0; round < 20; ++round) {
    Start();
    ControlClient client = Connect();
    Request load;
    load.command = Command::kLoad;
    load.path = "/m.so";
    const std::int64_t id = *client.Send(load);
    service_.Next().done_update(absl::CancelledError("the program ends"));
    server_->Stop();
    const auto reply = client.Receive(id, hours(1));
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ((*reply)->status(), absl::CancelledError("the program ends"));
    server_.reset();
  }
}

TEST_F(ControlServerTest, DoneRacesWithTheEnd) {
  for (int round = 0; round < 50; ++round) {
    Start();
    ControlClient client = Connect();
    std::vector<FakeControlService::Call> calls;
    for (int i = 0; i < 4; ++i) {
      Request load;
      load.command = Command::kLoad;
      load.path = "/m.so";
      EXPECT_TRUE(client.Send(load).ok());
      calls.push_back(service_.Next());
    }
    std::thread answers([&calls] {
      for (FakeControlService::Call& call : calls) {
        call.done_update(SampleUpdate());
      }
    });
    server_.reset();
    answers.join();
  }
}

TEST_F(ControlServerTest, ClientsComeAndGoDuringTheEnd) {
  for (int round = 0; round < 20; ++round) {
    Start();
    const std::string path = server_->socket_path();
    std::thread clients([&path] {
      while (true) {
        auto client = ControlClient::Connect(path);
        if (!client.ok()) return;
        if (!client->Status().ok()) return;
      }
    });
    ExpectServing();
    server_.reset();
    clients.join();
  }
}

TEST_F(ControlServerTest, CanBeMovedAndStartedAgain) {
  Start();
  ControlServer moved = std::move(*server_);
  server_.emplace(std::move(moved));
  ExpectServing();
  server_.reset();
  Start();
  ExpectServing();
}

TEST_F(ControlServerTest, StartFailsWithAReason) {
  Start();
  EXPECT_TRUE(
      absl::IsAlreadyExists(ControlServer::Start(service_, "shop").status()));
  chmod(directory_.c_str(), 0750);
  EXPECT_TRUE(absl::IsPermissionDenied(
      ControlServer::Start(service_, "other").status()));
  chmod(directory_.c_str(), 0700);
}

}  // namespace
}  // namespace instar
