// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Clients that misbehave, are too many, or somebody else.

#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/control/control_client.h"
#include "manager/control/control_server.h"
#include "manager/control/control_test/control_server_for_test.h"
#include "manager/control/fake_control_service.h"
#include "manager/control/frame.h"
#include "manager/control/protocol.h"

namespace instar {
namespace {

using std::chrono::hours;
using ::testing::HasSubstr;

TEST_F(ControlServerTest, NonsenseIsAnsweredAndTheConnectionGoesOn) {
  Start();
  RawClient client(server_->socket_path());
  client.SendRequest("nonsense");
  EXPECT_EQ(client.Receive()->id(), 0);
  client.SendRequest(R"({"version": 1, "id": 4, "request": "dance"})");
  const std::optional<Reply> reply = client.Receive();
  EXPECT_EQ(reply->id(), 4);
  EXPECT_TRUE(absl::IsUnimplemented(reply->status())) << reply->status();
  client.SendRequest(R"({"version": 9, "id": 5, "request": "status"})");
  EXPECT_TRUE(absl::IsUnimplemented(client.Receive()->status()));
  client.SendRequest(R"({"version":1,"id":6,"request":"load","path":"x.so"})");
  EXPECT_TRUE(absl::IsInvalidArgument(client.Receive()->status()));
  client.SendRequest(kStatusRequest);
  EXPECT_TRUE(client.Receive()->status().ok());
}

TEST_F(ControlServerTest, ARequestMayComeInPieces) {
  Start();
  RawClient client(server_->socket_path());
  const std::string frame = MakeFrame(kStatusRequest);
  for (const char byte : frame) client.Send({&byte, 1});
  EXPECT_TRUE(client.Receive()->status().ok());
  client.Send(absl::StrCat(frame, frame, frame.substr(0, 7)));
  EXPECT_TRUE(client.Receive()->status().ok());
  EXPECT_TRUE(client.Receive()->status().ok());
  client.Send(frame.substr(7));
  EXPECT_TRUE(client.Receive()->status().ok());
}

TEST_F(ControlServerTest, HalfARequestIsAnError) {
  Start();
  RawClient client(server_->socket_path());
  client.Send(MakeFrame(kStatusRequest).substr(0, 20));
  ExpectServing();
  client.ShutDownSending();
  const std::optional<Reply> reply = client.Receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->id(), 0);
  EXPECT_THAT(std::string(reply->status().message()),
              HasSubstr("ended within a request"));
  EXPECT_FALSE(client.Receive().has_value());
}

TEST_F(ControlServerTest, TooLongARequestIsAnErrorAndTheEnd) {
  Start();
  const std::string too_long =
      MakeFrame(std::string(kMaxRequestBytes + 1, 'x'));
  for (const absl::string_view header :
       {absl::string_view(too_long).substr(0, kFrameHeaderBytes),
        absl::string_view("\xff\xff\xff\xff and so on")}) {
    RawClient client(server_->socket_path());
    client.Send(header);
    const std::optional<Reply> reply = client.Receive();
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->id(), 0);
    EXPECT_TRUE(absl::IsInvalidArgument(reply->status())) << reply->status();
    EXPECT_FALSE(client.Receive().has_value());
  }
  ExpectServing();
}

TEST_F(ControlServerTest, AClientThatShutsDownItsSideGetsItsReplies) {
  Start();
  RawClient client(server_->socket_path());
  client.SendRequest(kLoadRequest);
  client.SendRequest(kStatusRequest);
  client.ShutDownSending();
  EXPECT_EQ(client.Receive()->id(), 5);
  service_.Next().done_update(SampleUpdate());
  EXPECT_EQ(client.Receive()->id(), 6);
  EXPECT_FALSE(client.Receive().has_value());
}

TEST_F(ControlServerTest, ALoadGoesOnWhenItsClientGoesAway) {
  Start({.clients = 1, .outstanding = 1, .unsent_bytes = 1 << 20});
  std::optional<RawClient> client(std::in_place, server_->socket_path());
  client->SendRequest(kLoadRequest);
  FakeControlService::Call load = service_.Next();
  client.reset();
  // Its place is free though its load is not done.
  while (!Connect().Status().ok()) {
  }
  load.done_update(SampleUpdate());  // nobody is there to hear of it
  ExpectServing();
}

TEST_F(ControlServerTest, AClientThatDoesNotReadIsWaitedFor) {
  Start({.clients = 32, .outstanding = 4, .unsent_bytes = 1 << 16});
  RawClient client(server_->socket_path());
  // More replies than fit into the server's and the kernel's buffers: the
  // requests behind them stay in the kernel until the client would block.
  const std::string frame = MakeFrame(kStatusRequest);
  int sent = 0;
  while (true) {
    const ssize_t size = send(client.descriptor(), frame.data(), frame.size(),
                              MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size < 0) {
      ASSERT_EQ(errno, EAGAIN);
      pollfd writable = {client.descriptor(), POLLOUT, 0};
      ExpectServing();  // two round trips, in which it would have taken more
      ExpectServing();
      if (poll(&writable, 1, 0) == 0) break;
      continue;
    }
    ASSERT_EQ(size, static_cast<ssize_t>(frame.size()));
    ++sent;
  }
  EXPECT_GT(sent, 100);
  for (int i = 0; i < sent; ++i) {
    const std::optional<Reply> reply = client.Receive();
    ASSERT_TRUE(reply.has_value()) << i << " of " << sent;
    EXPECT_TRUE(reply->status().ok());
  }
}

TEST_F(ControlServerTest, WhatIsUnsentHasALimit) {
  Start({.clients = 32, .outstanding = 64, .unsent_bytes = 1 << 10});
  ControlClient client = Connect();
  EXPECT_TRUE(client.Program().ok());
  UpdateReport report = SampleUpdate();
  report.update = std::string(4 << 10, 'x');
  const auto load = [&client, this] {
    Request request;
    request.command = Command::kLoad;
    request.path = "/m.so";
    EXPECT_TRUE(client.Send(request).ok());
    return service_.Next();
  };
  load().done_update(report);
  // A request that comes before that reply is answered.
  absl::Status status;
  while (status.ok()) status = client.Status().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  ExpectServing();
}

TEST_F(ControlServerTest, OutstandingRequestsAreLimited) {
  Start({.clients = 32, .outstanding = 2, .unsent_bytes = 1 << 20});
  ControlClient client = Connect();
  Request load;
  load.command = Command::kLoad;
  load.path = "/m.so";
  EXPECT_TRUE(client.Send(load).ok());
  const std::int64_t second = *client.Send(load);
  EXPECT_TRUE(absl::IsResourceExhausted(client.Check("/m.so").status()));
  EXPECT_TRUE(client.Status().ok());
  service_.Next().done_update(SampleUpdate());
  service_.Next().done_update(SampleUpdate());
  EXPECT_TRUE(client.Receive(second, hours(1)).ok());
  std::thread answers([this] { service_.Next().done_check(SampleCheck()); });
  EXPECT_TRUE(client.Check("/m.so").ok());
  answers.join();
}

TEST_F(ControlServerTest, ClientsAreLimited) {
  Start({.clients = 1, .outstanding = 1, .unsent_bytes = 1 << 20});
  {
    ControlClient first = Connect();
    EXPECT_TRUE(first.Status().ok());
    const absl::Status refused = Connect().Status().status();
    EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
    EXPECT_TRUE(first.Status().ok());
  }
  while (!Connect().Status().ok()) {
  }
}

TEST_F(ControlServerTest, NobodyElseIsServed) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can be somebody else";
  Start();
  // The folder keeps others out already.
  chmod(directory_.c_str(), 0755);
  chmod(server_->socket_path().c_str(), 0666);
  std::thread stranger([this] {
    // By the system call: of this thread alone.
    ASSERT_EQ(syscall(SYS_setresuid, -1, 65534, -1), 0);
    // It is told so each time, and noted once.
    for (int i = 0; i < 2; ++i) {
      RawClient client(server_->socket_path());
      const std::optional<Reply> reply = client.Receive();
      ASSERT_TRUE(reply.has_value());
      EXPECT_EQ(reply->id(), 0);
      EXPECT_TRUE(absl::IsPermissionDenied(reply->status()));
      EXPECT_THAT(std::string(reply->status().message()),
                  HasSubstr("you are user 65534"));
      EXPECT_FALSE(client.Receive().has_value());
    }
  });
  stranger.join();
  ASSERT_EQ(service_.refused().size(), 1u);
  EXPECT_EQ(service_.refused()[0].user, 65534u);
  EXPECT_EQ(service_.refused()[0].process, getpid());
  ExpectServing();
}

}  // namespace
}  // namespace instar
