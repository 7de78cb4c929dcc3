// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The file server and the update that closes its path traversal, driven by
// curl and wrk.

#include <fcntl.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "boost/asio/buffer.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/read.hpp"
#include "boost/asio/write.hpp"
#include "examples/child_process.h"
#include "examples/example_program.h"
#include "examples/opus/clients.h"
#include "examples/servers/running_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace file_server {
namespace {

using servers::RunningServer;
using site_manager::ChildProcess;
using site_manager::RunToEnd;
using testing::AnyOf;
using testing::Each;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class OpusTest : public testing::Test {
 protected:
  // What is asked, and what is answered.
  void Ask(const std::string& path) {
    transcript_.push_back(
        absl::StrCat("> ", path, ": ", Curl(server_.Url(path))));
  }
  void Instarctl(const std::vector<std::string>& words) {
    const int code = server_.Instarctl(words).code;
    transcript_.push_back(absl::StrCat("# ", words[0], ": ", code));
  }

  // All that the server sends until it closes the connection.
  std::string Talk(const std::string& request) {
    using boost::asio::ip::tcp;
    boost::asio::io_context io;
    tcp::socket socket(io);
    socket.connect({boost::asio::ip::address_v4::loopback(),
                    static_cast<unsigned short>(server_.port())});
    boost::asio::write(socket, boost::asio::buffer(request));
    std::string answer;
    boost::system::error_code error;
    boost::asio::read(socket, boost::asio::dynamic_buffer(answer), error);
    return answer;
  }

  Site site_;
  RunningServer server_{kProgram, {"--root=" + site_.root()}};
  std::vector<std::string> transcript_;
};

TEST_F(OpusTest, TheTraversalIsClosedAndOpenedAgain) {
  std::ofstream(site_.Path("a b.txt")) << "a file\n";
  std::ofstream(site_.Path("index.html")) << "the index\n";
  const auto ask = [&] {
    for (const char* const path :
         {"/a%20b.txt", "/?x", "/../secret.txt", "/%2e%2e/secret.txt",
          "/x/.%2E/%2e./secret.txt", "/a%20b.txt%00.html", "/nothing"}) {
      Ask(path);
    }
  };
  ask();
  Instarctl({"load", server_.ModulePath("close_traversal")});
  ask();
  Instarctl({"undo"});
  Ask(kSecret);
  EXPECT_THAT(transcript_,
              ElementsAre("> /a%20b.txt: 200 a file", "> /?x: 200 the index",
                          "> /../secret.txt: 403 403 Forbidden",
                          "> /%2e%2e/secret.txt: 200 the secret",
                          "> /x/.%2E/%2e./secret.txt: 404 404 Not Found",
                          "> /a%20b.txt%00.html: 200 a file",
                          "> /nothing: 404 404 Not Found",  //
                          "# load: 0",                      //
                          "> /a%20b.txt: 200 a file", "> /?x: 200 the index",
                          "> /../secret.txt: 403 403 Forbidden",
                          "> /%2e%2e/secret.txt: 403 403 Forbidden",
                          "> /x/.%2E/%2e./secret.txt: 403 403 Forbidden",
                          "> /a%20b.txt%00.html: 403 403 Forbidden",
                          "> /nothing: 404 404 Not Found",  //
                          "# undo: 0", "> /%2e%2e/secret.txt: 200 the secret"));
  EXPECT_EQ(server_.End(), 0);
}

// The function is active on two threads, in the middle of a file: the update
// waits for both, and meanwhile the server goes on in the old version.
TEST_F(OpusTest, WaitsForThreadsThatAreInTheFunction) {
  struct Slow {
    std::unique_ptr<ChildProcess> client;
    int pipe;
  };
  std::vector<Slow> slow;
  for (const char* const name : {"slow1", "slow2"}) {
    auto client = std::make_unique<ChildProcess>(
        std::vector<std::string>{servers::ToolPath("curl", "curl"), "--silent",
                                 server_.Url(absl::StrCat("/", name))});
    // Opened once the server has opened it, too.
    const int pipe = open(site_.Path(name).c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_GE(pipe, 0);
    slow.push_back({std::move(client), pipe});
  }
  const auto finish = [](Slow& one) {
    EXPECT_EQ(write(one.pipe, "a slow file\n", 12), 12);
    close(one.pipe);
    EXPECT_EQ(one.client->Wait(), 0);
    EXPECT_THAT(one.client->Output(), ElementsAre("a slow file"));
  };

  const auto load =
      server_.StartInstarctl({"load", server_.ModulePath("close_traversal")});
  const instar::PendingReport waiting =
      server_.AwaitWaiting("file_server::ReadFile(");
  EXPECT_EQ(waiting.update, "close_traversal");
  Ask(kSecret);
  finish(slow[0]);
  server_.AwaitWaiting("file_server::ReadFile(");
  Ask(kSecret);
  finish(slow[1]);
  EXPECT_EQ(load->Wait(), 0) << absl::StrJoin(load->Output(), "\n");
  Ask(kSecret);
  EXPECT_THAT(transcript_,
              ElementsAre("> /%2e%2e/secret.txt: 200 the secret",
                          "> /%2e%2e/secret.txt: 200 the secret",
                          "> /%2e%2e/secret.txt: 403 403 Forbidden"));
}

TEST_F(OpusTest, NoRequestIsLostOrAnsweredWronglyUnderLoad) {
  // The server has read its symbols before there is a load.
  Instarctl({"check", server_.ModulePath("close_traversal")});
  WrkLoad wrk(server_, site_);
  wrk.AwaitChecked(2);
  CurlLoad first(server_), second(server_);
  first.AwaitAnswers(100);
  second.AwaitAnswers(100);
  Instarctl({"load", server_.ModulePath("close_traversal")});
  // From here on, whoever asks gets the new version.
  Ask(kSecret);
  wrk.AwaitChecked(2);
  first.AwaitAnswers(200);
  second.AwaitAnswers(200);
  for (CurlLoad* const load : {&first, &second}) {
    const std::vector<std::string> answers = load->Stop();
    EXPECT_THAT(answers, Each(AnyOf("200 the secret", "403 403 Forbidden")));
    EXPECT_EQ(answers.front(), "200 the secret");
    EXPECT_EQ(answers.back(), "403 403 Forbidden");
    EXPECT_EQ(Changes(answers), 1);
  }
  const std::string said = wrk.Stop();
  EXPECT_THAT(said, HasSubstr(" answers, 0 wrong, 0 connections refused or "
                              "broken, 0 late"));
  EXPECT_THAT(said, Not(StartsWith("0 answers")));
  EXPECT_THAT(transcript_,
              ElementsAre("# check: 0", "# load: 0",
                          "> /%2e%2e/secret.txt: 403 403 Forbidden"));
  EXPECT_EQ(server_.End(), 0);
}

TEST_F(OpusTest, SpeaksHttp) {
  std::ofstream(site_.Path("one.txt")) << "one\n";
  // Requests that do not wait for each other, over one connection.
  EXPECT_EQ(
      Talk("GET /one.txt HTTP/1.1\r\nHost: x\r\n\r\n"
           "HEAD /one.txt HTTP/1.1\r\nHost: x\r\n\r\n"
           "POST /one.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
           "xx"
           "GET /one.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
           "\r\n"),
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
      "Content-Length: 4\r\n\r\none\n"
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
      "Content-Length: 4\r\n\r\n"
      "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain\r\n"
      "Allow: GET, HEAD\r\nContent-Length: 23\r\n\r\n"
      "405 Method Not Allowed\n"
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
      "Connection: close\r\nContent-Length: 4\r\n\r\none\n");
  // The old protocol closes unless asked not to.
  EXPECT_THAT(Talk("GET /one.txt HTTP/1.0\r\n\r\n"), EndsWith("\r\n\r\none\n"));
}

TEST_F(OpusTest, RefusesWhatIsNoHttp) {
  EXPECT_THAT(Talk("garbage\r\n\r\n"), StartsWith("HTTP/1.1 400 Bad Request"));
  EXPECT_THAT(Talk("GET / HTTP/1.1\r\nX: " + std::string(9000, 'x')),
              StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(Talk("POST / HTTP/1.1\r\nContent-Length: 70000\r\n\r\n"),
              StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(Curl(server_.Url("/page.html")), StartsWith("200 <p>line 0"));
}

TEST_F(OpusTest, SaysWhatIsWrong) {
  const site_manager::TemporaryDirectory sockets;
  const auto taken =
      RunToEnd({kProgram, "--root=/", absl::StrCat("--port=", server_.port())},
               {"INSTAR_SOCKET_DIRECTORY=" + sockets.path()});
  EXPECT_EQ(taken.code, 1);
  EXPECT_THAT(taken.output,
              ElementsAre(absl::StrCat(
                  "file_server: cannot listen at port ", server_.port(),
                  " of 127.0.0.1: Address already in use; choose another one "
                  "with --port, or 0 for any")));
  EXPECT_NE(RunToEnd({kProgram, "--root=/no/such/folder"}).code, 0);
  EXPECT_NE(RunToEnd({kProgram}).code, 0);
}

}  // namespace
}  // namespace file_server
