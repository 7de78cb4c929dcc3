// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the control server have in common.

#ifndef INSTAR_MANAGER_CONTROL_CONTROL_TEST_CONTROL_SERVER_FOR_TEST_H_
#define INSTAR_MANAGER_CONTROL_CONTROL_TEST_CONTROL_SERVER_FOR_TEST_H_

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "manager/control/control_client.h"
#include "manager/control/control_server.h"
#include "manager/control/fake_control_service.h"
#include "manager/control/frame.h"
#include "manager/control/protocol.h"
#include "manager/control/report_json.h"
#include "manager/control/socket_directory.h"
#include "manager/module/file_descriptor.h"

namespace instar {

// A client that says what it likes.
class RawClient {
 public:
  explicit RawClient(const std::string& path) {
    auto socket = ConnectTo(path);
    EXPECT_TRUE(socket.ok()) << socket.status();
    socket_ = *std::move(socket);
  }

  void Send(absl::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent =
          send(socket_.number(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      ASSERT_GT(sent, 0) << std::strerror(errno);
      bytes.remove_prefix(sent);
    }
  }

  void SendRequest(absl::string_view text) { Send(MakeFrame(text)); }

  // Waits for it; nothing at the end of the connection.
  std::optional<Reply> Receive() {
    while (true) {
      const auto frame = parser_.Next();
      EXPECT_TRUE(frame.ok()) << frame.status();
      if (!frame.ok()) return std::nullopt;
      if (frame->has_value()) {
        auto reply = DecodeReply(**frame);
        EXPECT_TRUE(reply.ok()) << reply.status();
        return *std::move(reply);
      }
      char bytes[4096];
      const ssize_t size = recv(socket_.number(), bytes, sizeof(bytes), 0);
      if (size <= 0) return std::nullopt;
      parser_.Append({bytes, static_cast<std::size_t>(size)});
    }
  }

  void ShutDownSending() { shutdown(socket_.number(), SHUT_WR); }
  int descriptor() const { return socket_.number(); }

 private:
  manager_internal::FileDescriptor socket_;
  FrameParser parser_{kMaxFrameBytes};
};

inline constexpr char kStatusRequest[] =
    R"({"version": 1, "id": 5, "request": "status"})";
inline constexpr char kLoadRequest[] =
    R"({"version": 1, "id": 6, "request": "load", "path": "/m.so"})";

class ControlServerTest : public ::testing::Test {
 protected:
  ControlServerTest() {
    char name[] = "/tmp/instar_test.XXXXXX";
    directory_ = mkdtemp(name);
    setenv("INSTAR_SOCKET_DIRECTORY", directory_.c_str(), 1);
  }
  ~ControlServerTest() override {
    server_.reset();
    EXPECT_EQ(std::system(absl::StrCat("rm -rf ", directory_).c_str()), 0);
  }

  void Start(const ControlServerLimits& limits = {}) {
    auto server = ControlServer::Start(service_, "shop", limits);
    ASSERT_TRUE(server.ok()) << server.status();
    server_.emplace(*std::move(server));
  }

  ControlClient Connect() {
    auto client = ControlClient::Connect(server_->socket_path());
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  // That the server serves others as before.
  void ExpectServing() {
    const auto status = Connect().Status();
    ASSERT_TRUE(status.ok()) << status.status();
    EXPECT_EQ(ToJson(*status), ToJson(SampleStatus()));
  }

  std::string directory_;
  FakeControlService service_;
  std::optional<ControlServer> server_;
};

}  // namespace instar

#endif  // INSTAR_MANAGER_CONTROL_CONTROL_TEST_CONTROL_SERVER_FOR_TEST_H_
