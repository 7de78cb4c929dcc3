// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The key-value server and its update. What memcached's own clients try of the
// protocol, the demo has them try (transcript.txt).

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "examples/ginseng/client.h"
#include "examples/ginseng/load.h"
#include "examples/ginseng/tools.h"
#include "examples/servers/running_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/control/control_client.h"
#include "manager/control/control_service.h"

namespace ginseng {
namespace {

using testing::HasSubstr;

constexpr const char* kProgram = "examples/ginseng/cache_server";

// One server for all tests: it reads its symbols once.
std::unique_ptr<servers::RunningServer> server;

class ServerOfAll : public testing::Environment {
 public:
  void SetUp() override {
    server = std::make_unique<servers::RunningServer>(
        kProgram, std::vector<std::string>{});
  }
  void TearDown() override { EXPECT_EQ(server->End(), 0); }
};
[[maybe_unused]] testing::Environment* const server_of_all =
    testing::AddGlobalTestEnvironment(new ServerOfAll);

class GinsengTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(Line("flush_all"), "OK"); }
  void TearDown() override {
    if (is_updated_) Undo();
  }

  std::string Ask(const std::string& request) { return client_.Ask(request); }
  // Of one line, and its one line of answer without the end.
  std::string Line(const std::string& request) {
    std::string answer = Ask(request + "\r\n");
    EXPECT_TRUE(absl::EndsWith(answer, "\r\n")) << request << ": " << answer;
    return answer.substr(0, answer.find("\r\n"));
  }
  std::string Set(const std::string& key, const std::string& value,
                  int expiry = 0) {
    return Line(absl::StrCat("set ", key, " 7 ", expiry, " ", value.size(),
                             "\r\n", value));
  }
  // Over a connection of its own, which the server closes.
  std::string Talk(const std::string& text) {
    Client client(server->port());
    client.Send(text);
    return client.ReceiveRest();
  }

  void Load(const std::string& module) {
    const auto report = server->Control().Load(server->ModulePath(module));
    ASSERT_TRUE(report.ok()) << report.status();
    is_updated_ = true;
  }
  void Undo() {
    const auto report = server->Control().Undo();
    ASSERT_TRUE(report.ok()) << report.status();
    is_updated_ = false;
  }
  // How many entries there are of each version, "5 old, 2 new".
  std::string Versions() {
    const auto status = server->Control().Status();
    EXPECT_TRUE(status.ok()) << status.status();
    for (const instar::ObjectCounts& counts : status->classes) {
      if (counts.class_name != "ginseng::Entry") continue;
      return absl::StrCat(counts.OfVersion("ginseng::Entry"), " old, ",
                          counts.OfVersion("ginseng::CountedEntry"), " new");
    }
    return "none";
  }

  Client client_{server->port()};
  bool is_updated_ = false;
};

TEST_F(GinsengTest, SpeaksTheProtocolInPieces) {
  EXPECT_EQ(
      Talk("set a 7 0 3\r\none\r\nget a a b\r\nset b 0 0 0 noreply\r\n"
           "\r\ndelete a noreply\r\ngets a b\r\nget b\nquit\r\nget b\r\n"),
      "STORED\r\nVALUE a 7 3\r\none\r\nVALUE a 7 3\r\none\r\nEND\r\n"
      "VALUE b 0 0 2\r\n\r\nEND\r\nVALUE b 0 0\r\n\r\nEND\r\n");
  // A request that arrives byte by byte.
  for (const char byte : std::string("set c 0 0 4\r\n\r\n\r\n\r")) {
    client_.Send(std::string(1, byte));
  }
  EXPECT_EQ(Ask("\n"), "STORED\r\n");
  EXPECT_EQ(Ask("get c\r\n"), "VALUE c 0 4\r\n\r\n\r\n\r\nEND\r\n");
}

TEST_F(GinsengTest, Counts) {
  Set("n", "18446744073709551615");
  EXPECT_EQ(Line("incr n 2"), "1");
  EXPECT_EQ(Line("decr n 5"), "0");
  EXPECT_EQ(Line("incr n x"), "CLIENT_ERROR invalid numeric delta argument");
  EXPECT_EQ(Line("incr m 1"), "NOT_FOUND");
  Set("n", "x");
  EXPECT_EQ(Line("incr n 1"),
            "CLIENT_ERROR cannot increment or decrement non-numeric value");
}

TEST_F(GinsengTest, RefusesWhatIsWrong) {
  const std::string long_key(251, 'k');
  const std::string bad_line = "CLIENT_ERROR bad command line format";
  for (const char* const request :
       {"", "get", "gets", "bogus", "set", "set a", "set a 0 0 1 1 1", "delete",
        "delete a 0 0", "incr a", "touch", "touch a", "touch a 1",
        "stats reads", "stats bogus", "version 1", "verbosity"}) {
    EXPECT_EQ(Line(request), "ERROR") << request;
  }
  EXPECT_EQ(Line("get " + long_key), bad_line);
  EXPECT_EQ(Line("delete " + long_key), bad_line);
  EXPECT_EQ(Line("incr " + long_key + " 1"), bad_line);
  EXPECT_EQ(Line("delete a 5"), bad_line);
  EXPECT_EQ(Set(long_key, "value"), bad_line);
  EXPECT_EQ(Line("set a x 0 1\r\nv"), bad_line);
  EXPECT_EQ(Line("set a 0 x 1\r\nv"), bad_line);
  EXPECT_EQ(Line("cas a 0 0 1 x\r\nv"), bad_line);
  EXPECT_EQ(Line("flush_all 5"),
            "CLIENT_ERROR it is flushed at once or not at all");

  EXPECT_EQ(Talk("set a 0 0 x\r\n"), bad_line + "\r\n");
  EXPECT_EQ(Talk("set a 0 0 -1\r\n"), bad_line + "\r\n");
  EXPECT_EQ(Talk("set a 0 0 1048577\r\n"),
            "SERVER_ERROR object too large for cache\r\n");
  EXPECT_EQ(Talk("set a 0 0 1\r\nabc"), "CLIENT_ERROR bad data chunk\r\n");
  EXPECT_EQ(Talk(std::string(std::size_t{64} << 10, 'x')),
            "CLIENT_ERROR line too long\r\n");
  EXPECT_EQ(Talk("\x80"), "");  // the binary protocol
  // It goes on all the same.
  EXPECT_EQ(Ask("get a\r\n"), "END\r\n");
}

TEST_F(GinsengTest, HasLimits) {
  const std::string half(std::size_t{512} << 10, 'x');
  EXPECT_EQ(Set("a", half), "STORED");
  const std::string append =
      absl::StrCat("append a 0 0 ", half.size(), "\r\n", half);
  EXPECT_EQ(Line(append), "STORED");
  EXPECT_EQ(Line(append), "SERVER_ERROR object too large for cache");
  std::string request = "get";
  for (int i = 0; i < 65; ++i) request += " a";
  EXPECT_EQ(Line(request), "SERVER_ERROR out of memory writing get response");
}

class WayTest : public GinsengTest,
                public testing::WithParamInterface<const char*> {};

TEST_P(WayTest, EntriesExpireAndTheirReadsAreCounted) {
  Set("before", "1", -1);
  EXPECT_THAT(Ask("get before\r\n"), HasSubstr("1"));
  Load(GetParam());
  // When those of before expire had not been kept.
  EXPECT_EQ(Ask("get before\r\n"), "VALUE before 7 1\r\n1\r\nEND\r\n");
  EXPECT_EQ(Line("append before 0 0 1\r\n2"), "STORED");
  EXPECT_EQ(Ask("get before\r\n"), "VALUE before 7 2\r\n12\r\nEND\r\n");
  Set("after", "3");
  EXPECT_EQ(Line("incr after 1"), "4");
  EXPECT_THAT(Ask("get after before\r\n"), HasSubstr("4"));
  Set("forever", "5", 0);
  EXPECT_EQ(Ask("stats reads\r\n"), "STAT before 3\r\nSTAT after 1\r\nEND\r\n");

  // One that has expired is there for no command.
  const auto expire = [&](const std::string& key) {
    Set(key, "6");
    EXPECT_EQ(Line(absl::StrCat("touch ", key, " 100")), "TOUCHED");
    EXPECT_THAT(Ask(absl::StrCat("get ", key, "\r\n")), HasSubstr("6"));
    // 1970 is over; what is smaller is a time from now on.
    EXPECT_EQ(Line(absl::StrCat("touch ", key, " 2592001")), "TOUCHED");
  };
  expire("a");
  EXPECT_EQ(Line("touch a 0"), "NOT_FOUND");
  expire("a");
  EXPECT_EQ(Ask("get a\r\n"), "END\r\n");
  expire("a");
  EXPECT_EQ(Line("append a 0 0 1\r\n7"), "NOT_STORED");
  expire("a");
  EXPECT_EQ(Line("replace a 0 0 1\r\n7"), "NOT_STORED");
  expire("a");
  EXPECT_EQ(Line("add a 0 0 1\r\n7"), "STORED");
  expire("a");
  EXPECT_EQ(Line("delete a"), "NOT_FOUND");
  expire("a");
  EXPECT_EQ(Line("incr a 1"), "NOT_FOUND");
  EXPECT_EQ(Line("touch a x"), "CLIENT_ERROR invalid exptime argument");
  EXPECT_EQ(Line("touch"), "ERROR");

  Undo();
  EXPECT_EQ(Ask("get before after\r\n"),
            "VALUE before 7 2\r\n12\r\nVALUE after 7 1\r\n4\r\nEND\r\n");
  EXPECT_EQ(Line("touch before 1"), "ERROR");
}

TEST_P(WayTest, NothingIsLostOrWrongUnderLoad) {
  LoadOptions options;
  options.entries = 5000;
  ginseng::Load load(server->port(), options);
  for (int i = 0; i < 3; ++i) {
    load.AwaitAnswers(50);
    Load(GetParam());
    load.AwaitAnswers(50);
    EXPECT_NE(Ask("stats reads\r\n"), "END\r\n");
    Undo();
    EXPECT_EQ(Line("stats reads"), "ERROR");
  }
  load.AwaitAnswers(50);
  const LoadReport report = load.Stop();
  EXPECT_EQ(report.wrong, 0u) << report.first_wrong;
  EXPECT_GE(report.answers.size(), 4u * 350u);
  EXPECT_EQ(Versions(), "5000 old, 0 new");
}

// So that nothing is what it says when nothing was lost.
TEST_F(GinsengTest, TheLoadNoticesALoss) {
  LoadOptions options;
  options.entries = 100;
  ginseng::Load load(server->port(), options);
  load.AwaitAnswers(10);
  EXPECT_EQ(Line("flush_all"), "OK");
  load.AwaitAnswers(50);
  const LoadReport report = load.Stop();
  EXPECT_GT(report.wrong, 0u);
  EXPECT_THAT(report.first_wrong, HasSubstr("was answered by\nEND\r\n"));
}

TEST_P(WayTest, MemccapableHasNoComplaintOfTheNextVersion) {
  Load(GetParam());
  EXPECT_EQ(Memccapable(*server).Wait(), "27 tests, all passed");
}

INSTANTIATE_TEST_SUITE_P(, WayTest,
                         testing::Values("expire_lazily", "expire_eagerly",
                                         "expire_progressively"),
                         [](const auto& info) {
                           return std::string(info.param + sizeof("expire"));
                         });

TEST_F(GinsengTest, LazilyEachIsConvertedAtItsNextUse) {
  for (const char* const key : {"a", "b", "c"}) Set(key, "x");
  Load("expire_lazily");
  EXPECT_EQ(Versions(), "3 old, 0 new");
  Ask("get b\r\n");
  EXPECT_EQ(Versions(), "2 old, 1 new");
  // One that nobody has used since ends.
  EXPECT_EQ(Set("a", "y"), "STORED");
  EXPECT_EQ(Versions(), "1 old, 2 new");
  EXPECT_EQ(Line("flush_all"), "OK");
  EXPECT_EQ(Versions(), "0 old, 0 new");
}

TEST_F(GinsengTest, EagerlyAllAreConvertedAtOnce) {
  for (const char* const key : {"a", "b", "c"}) Set(key, "x");
  Load("expire_eagerly");
  EXPECT_EQ(Versions(), "0 old, 3 new");
}

TEST_F(GinsengTest, ProgressivelyAllAreConvertedWithoutUse) {
  for (const char* const key : {"a", "b", "c"}) Set(key, "x");
  Load("expire_progressively");
  while (Versions() != "0 old, 3 new") {
  }
}

// What an undo cannot know: docs/examples/ginseng.md.
TEST_F(GinsengTest, WhatHasExpiredIsThereAgainAfterAnUndo) {
  Load("expire_lazily");
  Set("a", "x", -1);
  const auto status = server->Control().Status();
  ASSERT_TRUE(status.ok()) << status.status();
  ASSERT_EQ(status->applied.size(), 1u);
  EXPECT_THAT(status->applied[0].lost_by_undo,
              testing::ElementsAre(
                  HasSubstr("what only objects of the new version hold")));
  Undo();
  EXPECT_EQ(Ask("get a\r\n"), "VALUE a 7 1\r\nx\r\nEND\r\n");
}

}  // namespace
}  // namespace ginseng
