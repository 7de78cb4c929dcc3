// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a client does while a program does not listen. Limits of an hour: where
// it must not wait, the test would not end.

#include "manager/control/control_client.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "manager/control/control_test/control_server_for_test.h"
#include "manager/control/report_json.h"
#include "manager/control/socket_directory.h"
#include "manager/module/file_descriptor.h"

namespace instar {
namespace {

using manager_internal::FileDescriptor;

constexpr std::chrono::hours kLimit(1);

class ControlClientTest : public ControlServerTest {
 protected:
  // Where the server of ControlServerTest will listen.
  RunningProgram Shop() const {
    return {"shop", getpid(),
            absl::StrCat(directory_, "/shop.", getpid(), ".sock")};
  }

  // One that takes nobody.
  FileDescriptor Listen() const {
    FileDescriptor listener(
        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, Shop().socket.c_str());
    EXPECT_EQ(bind(listener.number(), reinterpret_cast<sockaddr*>(&address),
                   sizeof(address)),
              0);
    EXPECT_EQ(listen(listener.number(), 5), 0);
    return listener;
  }
};

TEST_F(ControlClientTest, WaitsForAProgramThatListensAnew) {
  static_cast<void>(Listen());  // its name is left, and refuses
  std::thread starts([this] { Start(); });
  auto client = ControlClient::ConnectPatiently(Shop(), kLimit);
  starts.join();
  ASSERT_TRUE(client.ok()) << client.status();
  const auto status = client->Status();
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(ToJson(*status), ToJson(SampleStatus()));
  EXPECT_EQ(client->process(), getpid());
}

// As when the program closes its descriptors just then. The request arrives
// once.
TEST_F(ControlClientTest, WhatNobodyHasTakenIsSentAgain) {
  for (const bool before_it_is_sent : {true, false}) {
    FileDescriptor listener = Listen();
    auto client = ControlClient::ConnectPatiently(Shop(), kLimit);
    ASSERT_TRUE(client.ok()) << client.status();
    Request load;
    load.command = Command::kLoad;
    load.path = absl::StrCat(testing::TempDir(), "/sent_again.so");
    std::ofstream(load.path) << "a module";
    absl::StatusOr<std::int64_t> id = absl::UnknownError("");
    if (!before_it_is_sent) id = client->Send(load);
    listener = FileDescriptor();
    std::thread starts([this] { Start(); });
    if (before_it_is_sent) id = client->Send(load);
    ASSERT_TRUE(id.ok()) << id.status();
    std::string sent;
    std::thread answers([&] {
      auto call = service_.Next();
      sent = call.sent;
      call.done_update(SampleUpdate());
    });
    const auto reply = client->Receive(*id, kLimit);
    starts.join();
    answers.join();
    ASSERT_TRUE(reply.ok() && reply->has_value()) << reply.status();
    EXPECT_TRUE((*reply)->As<UpdateReport>().ok());
    EXPECT_EQ(sent, "a module");  // the file, too
    // What comes next is another client's: nothing was sent twice.
    std::thread other([this] { Connect().Load("/other.so").IgnoreError(); });
    auto call = service_.Next();
    EXPECT_EQ(call.argument, "/other.so");
    call.done_update(absl::CancelledError(""));
    other.join();
    server_.reset();
  }
}

TEST_F(ControlClientTest, WhatHasBeenReadIsNotSentAgain) {
  const FileDescriptor listener = Listen();
  auto client = ControlClient::ConnectPatiently(Shop(), kLimit);
  ASSERT_TRUE(client.ok()) << client.status();
  FileDescriptor accepted(accept(listener.number(), nullptr, nullptr));
  std::thread reads([&] {
    char bytes[4096];
    const ssize_t size = recv(accepted.number(), bytes, sizeof(bytes), 0);
    // Nothing comes before what was asked for.
    EXPECT_TRUE(size > 0 &&
                absl::StrContains(std::string(bytes, size), "\"status\""));
    accepted = FileDescriptor();
  });
  const auto status = client->Status();
  reads.join();
  EXPECT_TRUE(absl::IsUnavailable(status.status())) << status.status();
  EXPECT_EQ(accept(listener.number(), nullptr, nullptr), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST_F(ControlClientTest, DoesNotWaitForWhatCannotPass) {
  static_cast<void>(Listen());
  RunningProgram program = Shop();
  program.pid = fork();
  if (program.pid == 0) _exit(0);
  // Also while nobody has asked how it ended.
  siginfo_t info;
  ASSERT_EQ(waitid(P_PID, program.pid, &info, WEXITED | WNOWAIT), 0);
  auto client = ControlClient::ConnectPatiently(program, kLimit);
  EXPECT_TRUE(absl::IsNotFound(client.status())) << client.status();
  ASSERT_EQ(waitpid(program.pid, nullptr, 0), program.pid);
  client = ControlClient::ConnectPatiently(program, kLimit);
  EXPECT_TRUE(absl::IsNotFound(client.status())) << client.status();

  program = Shop();
  program.socket = std::string(200, 'x');
  client = ControlClient::ConnectPatiently(program, kLimit);
  EXPECT_TRUE(absl::IsInvalidArgument(client.status())) << client.status();

  // What refuses says so, and is not asked again.
  unlink(Shop().socket.c_str());
  ControlServerLimits nobody;
  nobody.clients = 0;
  Start(nobody);
  client = ControlClient::ConnectPatiently(Shop(), kLimit);
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_TRUE(absl::IsResourceExhausted(client->Status().status()));
}

}  // namespace
}  // namespace instar
