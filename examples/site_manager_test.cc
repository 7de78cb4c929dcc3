// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Drives the program over its socket and its standard input, and compares what
// it says with the transcript.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "gtest/gtest.h"

namespace {

class Program {
 public:
  Program() {
    int to[2];
    int from[2];
    if (pipe(to) != 0 || pipe(from) != 0) std::abort();
    process_ = fork();
    if (process_ == 0) {
      dup2(to[0], 0);
      dup2(from[1], 1);
      for (const int end : {to[0], to[1], from[0], from[1]}) close(end);
      execl("examples/site_manager", "site_manager", "1", nullptr);
      _exit(127);
    }
    close(to[0]);
    close(from[1]);
    input_ = to[1];
    output_ = fdopen(from[0], "r");
  }
  ~Program() {
    close(input_);
    std::fclose(output_);
  }

  void Say(const std::string& line) {
    const std::string text = line + "\n";
    ASSERT_EQ(write(input_, text.data(), text.size()),
              static_cast<ssize_t>(text.size()));
  }

  // The next line that begins so; the display repeats itself in between.
  std::string Await(const std::string& beginning) {
    char line[512];
    while (std::fgets(line, sizeof(line), output_) != nullptr) {
      std::string text(line);
      text.pop_back();
      if (text.compare(0, beginning.size(), beginning) == 0) return text;
    }
    ADD_FAILURE() << "the program ended before it said: " << beginning;
    return "";
  }

  int ExitStatus() {
    int status = -1;
    waitpid(process_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1000 - WTERMSIG(status);
  }

 private:
  pid_t process_;
  int input_;
  std::FILE* output_;
};

std::string Command(int port, const std::string& command) {
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (connect(connection, reinterpret_cast<sockaddr*>(&address),
              sizeof(address)) != 0) {
    close(connection);
    return "not connected";
  }
  const std::string line = command + "\n";
  send(connection, line.data(), line.size(), MSG_NOSIGNAL);
  std::string answer;
  char buffer[256];
  ssize_t got;
  while ((got = recv(connection, buffer, sizeof(buffer), 0)) > 0) {
    answer.append(buffer, static_cast<std::size_t>(got));
  }
  close(connection);
  if (!answer.empty()) answer.pop_back();
  return answer;
}

TEST(SiteManagerTest, Transcript) {
  Program program;
  const int port = std::atoi(program.Await("port ").c_str() + 5);
  ASSERT_GT(port, 0);
  EXPECT_EQ(program.Await("Brest"), "Brest: chair 10, table 4");
  EXPECT_EQ(program.Await("Nantes"), "Nantes: lamp 7");

  EXPECT_EQ(Command(port, "order 2 chair Brest"), "ordered, 8 left");
  EXPECT_EQ(Command(port, "order 20 chair Brest"), "not enough in stock");
  EXPECT_EQ(Command(port, "rate 4 chair Brest"), "unknown command");
  while (program.Await("Brest") != "Brest: chair 8, table 4") {
    ASSERT_FALSE(HasFailure());
  }

  program.Say("examples/no_such_module.so");
  EXPECT_EQ(program.Await("update: ").substr(0, 17), "update: NOT_FOUND");

  program.Say("examples/site_manager_ratings.so");
  EXPECT_EQ(program.Await("update: "), "update: triggered");
  EXPECT_EQ(program.Await("update: "), "update: display rebooted");
  EXPECT_EQ(Command(port, "rate 4 chair Brest"), "rated, 1 votes");
  EXPECT_EQ(program.Await("update: "), "update: done");
  EXPECT_EQ(Command(port, "rate 2 chair Brest"), "rated, 2 votes");
  EXPECT_EQ(Command(port, "order 3 chair Brest"), "ordered, 5 left");
  while (program.Await("Brest") !=
         "Brest: chair 5, table 4; chair has mark 3") {
    ASSERT_FALSE(HasFailure());
  }

  program.Say("quit");
  EXPECT_EQ(program.Await("end"), "end");
  EXPECT_EQ(program.ExitStatus(), 0);
}

}  // namespace
