// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "examples/command_server.h"

#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "examples/command_client.h"
#include "gtest/gtest.h"

namespace site_manager {
namespace {

// Answers each command by itself in brackets, until one says "end".
class CommandServerTest : public testing::Test {
 protected:
  CommandServerTest() {
    const absl::StatusOr<int> listener = Listen(0);
    EXPECT_TRUE(listener.ok()) << listener.status();
    port_ = PortOf(*listener);
    thread_ = std::thread([listener = *listener] {
      CommandServer server(listener);
      while (std::optional<CommandServer::Command> command = server.Next()) {
        server.Answer(*command, "[" + command->text + "]");
        if (command->text == "end") return;
      }
    });
  }
  ~CommandServerTest() override {
    CommandClient client = Connect();
    EXPECT_TRUE(client.Send("end\n").ok());
    thread_.join();
  }

  CommandClient Connect() {
    absl::StatusOr<CommandClient> client = CommandClient::Connect(port_);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  int port_;
  std::thread thread_;
};

TEST_F(CommandServerTest, AnswersInOrder) {
  CommandClient client = Connect();
  EXPECT_EQ(client.Ask("one").value(), "[one]");
  ASSERT_TRUE(client.Send("two\nthree\r\n\nfo").ok());
  EXPECT_EQ(client.Receive().value(), "[two]");
  EXPECT_EQ(client.Receive().value(), "[three]");
  EXPECT_EQ(client.Receive().value(), "[]");
  ASSERT_TRUE(client.Send("ur\n").ok());
  EXPECT_EQ(client.Receive().value(), "[four]");
}

TEST_F(CommandServerTest, AnswersWhoHasNothingMoreToSay) {
  CommandClient client = Connect();
  ASSERT_TRUE(client.Send("one\ntwo").ok());
  client.ShutDown();
  EXPECT_EQ(client.Receive().value(), "[one]");
  EXPECT_EQ(client.Receive().value(), "[two]");
  EXPECT_FALSE(client.Receive().ok());
}

TEST_F(CommandServerTest, ALineThatIsTooLongIsAnError) {
  CommandClient client = Connect();
  const std::string longest(kLongestCommand, 'x');
  EXPECT_EQ(client.Ask(longest).value(), "[" + longest + "]");
  EXPECT_EQ(client.Ask(longest + "y").value(),
            "a command has at most 1000 bytes");
  EXPECT_EQ(client.Ask(std::string(100000, 'z')).value(),
            "a command has at most 1000 bytes");
  EXPECT_EQ(client.Ask("and on").value(), "[and on]");
}

TEST_F(CommandServerTest, ManyAtOnceAndThoseThatGo) {
  std::vector<CommandClient> clients;
  for (int i = 0; i < 200; ++i) clients.push_back(Connect());
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(clients[i].Send(absl::StrCat("first ", i, "\nsec")).ok());
  }
  for (int i = 0; i < 200; i += 2) {  // they go in the middle of a line
    CommandClient gone = std::move(clients[i]);
  }
  for (int i = 1; i < 200; i += 2) {
    EXPECT_EQ(clients[i].Receive().value(), absl::StrCat("[first ", i, "]"));
    EXPECT_EQ(clients[i].Ask("ond").value(), "[second]");
  }
}

// A client that sends and sends and reads nothing stops itself, not others.
TEST_F(CommandServerTest, WhoDoesNotReadDoesNotHinderOthers) {
  CommandClient silent = Connect();
  constexpr int kCommands = 200000;
  std::thread sender([&] {
    const std::string block = absl::StrCat(std::string(99, 'a'), "\n");
    std::string text;
    for (int i = 0; i < 100; ++i) text += block;
    for (int i = 0; i < kCommands / 100; ++i) {
      if (!silent.Send(text).ok()) return;
    }
  });
  CommandClient other = Connect();
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(other.Ask("still there").value(), "[still there]");
  }
  const std::string expected = "[" + std::string(99, 'a') + "]";
  for (int i = 0; i < kCommands; ++i) {
    ASSERT_EQ(silent.Receive().value(), expected);
  }
  sender.join();
}

TEST(ListenTest, SaysThatThePortIsTaken) {
  const absl::StatusOr<int> listener = Listen(0);
  ASSERT_TRUE(listener.ok());
  const int port = PortOf(*listener);
  const absl::StatusOr<int> second = Listen(port);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().message(),
            absl::StrCat("cannot listen at port ", port,
                         " of 127.0.0.1: Address already in use"));
  const CommandServer closes_it(*listener);
}

}  // namespace
}  // namespace site_manager
