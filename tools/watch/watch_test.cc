// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Against a service that counts as the test says; with processes that end:
// tools/install/watch_test.py.

#include "tools/watch/watch.h"

#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/control/control_server.h"
#include "manager/control/fake_control_service.h"

namespace instar {
namespace instarctl {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using testing::HasSubstr;

TEST(ErrorLimitTest, IsAShareOrANumber) {
  const auto share = ParseErrorLimit("5%");
  ASSERT_TRUE(share.ok()) << share.status();
  EXPECT_EQ(share->ToString(), "5 % of the requests");
  EXPECT_EQ(ErrorLimit().ToString(), share->ToString());
  // Of twenty, or of as many as there were.
  EXPECT_FALSE(share->IsExceeded({20, 1}, false));
  EXPECT_TRUE(share->IsExceeded({20, 2}, false));
  EXPECT_FALSE(share->IsExceeded({19, 19}, false));
  EXPECT_TRUE(share->IsExceeded({19, 19}, true));
  EXPECT_FALSE(share->IsExceeded({0, 0}, true));
  // Of a program that does not count requests.
  EXPECT_TRUE(share->IsExceeded({0, 20}, false));
  EXPECT_FALSE(ParseErrorLimit("0%")->IsExceeded({100, 0}, true));
  EXPECT_TRUE(ParseErrorLimit("0.5%")->IsExceeded({100, 1}, false));

  const auto number = ParseErrorLimit("3");
  ASSERT_TRUE(number.ok()) << number.status();
  EXPECT_EQ(number->ToString(), "3");
  EXPECT_FALSE(number->IsExceeded({1000, 3}, true));
  EXPECT_TRUE(number->IsExceeded({0, 4}, false));

  for (const char* const wrong :
       {"", "%", "x", "-1", "101%", "-1%", "5 percent"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseErrorLimit(wrong).status()))
        << wrong;
  }
}

TEST(WindowTest, HasAUnit) {
  EXPECT_EQ(*ParseWindow("30s"), std::chrono::seconds(30));
  EXPECT_EQ(*ParseWindow("30"), std::chrono::seconds(30));
  EXPECT_EQ(*ParseWindow("0.5"), milliseconds(500));
  EXPECT_EQ(*ParseWindow("1h30m"), std::chrono::minutes(90));
  for (const char* const wrong :
       {"", "0", "0s", "-3s", "s", "soon", "inf", "nan", "1e300", "30x"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseWindow(wrong).status())) << wrong;
  }
}

class WatchTest : public testing::Test {
 protected:
  WatchTest() {
    char name[] = "/tmp/instar_test.XXXXXX";
    directory_ = mkdtemp(name);
    setenv("INSTAR_SOCKET_DIRECTORY", directory_.c_str(), 1);
    auto server = ControlServer::Start(service_, "shop");
    EXPECT_TRUE(server.ok()) << server.status();
    server_.emplace(*std::move(server));
  }
  ~WatchTest() override {
    server_.reset();
    EXPECT_EQ(std::system(absl::StrCat("rm -rf ", directory_).c_str()), 0);
  }

  void Count(std::uint64_t requests, std::uint64_t errors) {
    StatusReport status = SampleStatus();
    status.program.requests += requests;
    status.program.errors += errors;
    service_.set_status(status);
  }
  RunningProgram Shop() { return {"shop", getpid(), server_->socket_path()}; }

  static WatchOptions For(nanoseconds window) {
    WatchOptions options;
    options.window = window;
    return options;
  }

  std::string directory_;
  FakeControlService service_;
  std::optional<ControlServer> server_;
};

constexpr std::chrono::hours kLong(1);
bool Never() { return false; }

TEST_F(WatchTest, NothingHappens) {
  WatchOptions options = For(milliseconds(1));
  options.health = "true";
  Watch watch(options);
  ASSERT_TRUE(watch.Begin({Shop()}).ok());
  EXPECT_TRUE(watch.CheckHealth().ok());
  EXPECT_EQ(watch.Run([](const Watch::Progress&) {}, Never).kind,
            Watch::Kind::kGood);
  // As many as there was time for, and one at least.
  EXPECT_GE(watch.progress().health_runs, 1);
}

TEST_F(WatchTest, ErrorsSinceTheUpdateAreCounted) {
  Count(1000, 1000);  // before
  Watch watch(For(kLong));
  ASSERT_TRUE(watch.Begin({Shop()}).ok());
  int looks = 0;
  const auto verdict = watch.Run(
      [&](const Watch::Progress& progress) {
        ++looks;
        if (looks == 1) Count(1100, 1005);
        if (progress.counted.errors == 5) Count(1200, 1011);
      },
      Never);
  EXPECT_EQ(verdict.kind, Watch::Kind::kFailed);
  EXPECT_EQ(verdict.reason,
            "the program has counted 11 errors of 200 requests, and the limit "
            "is 5 % of the requests (--max-errors)");
}

TEST_F(WatchTest, TheHealthCommandFails) {
  WatchOptions options = For(kLong);
  options.health = absl::StrCat("test ! -e ", directory_,
                                "/bad || { echo it "
                                "is bad; exit 2; }");
  Watch watch(options);
  ASSERT_TRUE(watch.Begin({Shop()}).ok());
  EXPECT_TRUE(watch.CheckHealth().ok());
  const auto verdict = watch.Run(
      [&](const Watch::Progress&) {
        EXPECT_EQ(
            std::system(absl::StrCat("touch ", directory_, "/bad").c_str()), 0);
      },
      Never);
  EXPECT_EQ(verdict.kind, Watch::Kind::kFailed);
  EXPECT_EQ(verdict.reason, "the health command exited with 2: it is bad");
}

TEST_F(WatchTest, IsLeft) {
  Watch watch(For(kLong));
  ASSERT_TRUE(watch.Begin({Shop()}).ok());
  EXPECT_EQ(watch.Run([](const Watch::Progress&) {}, [] { return true; }).kind,
            Watch::Kind::kLeft);
}

// That a program closes a connection is no failure.
TEST_F(WatchTest, TheProgramListensAnew) {
  Watch watch(For(kLong));
  ASSERT_TRUE(watch.Begin({Shop()}).ok());
  bool is_new = false;
  const auto verdict = watch.Run(
      [&](const Watch::Progress&) {
        if (is_new) return;
        server_.reset();
        auto server = ControlServer::Start(service_, "shop");
        ASSERT_TRUE(server.ok()) << server.status();
        server_.emplace(*std::move(server));
        is_new = true;
        Count(20, 20);
      },
      Never);
  EXPECT_THAT(verdict.reason, HasSubstr("20 errors of 20 requests"));
}

TEST_F(WatchTest, TheProgramDoesNotListenAnyMore) {
  Watch watch(For(kLong));
  ASSERT_TRUE(watch.Begin({Shop()}).ok());
  const auto verdict =
      watch.Run([&](const Watch::Progress&) { server_.reset(); }, Never);
  EXPECT_EQ(verdict.kind, Watch::Kind::kFailed);
  EXPECT_THAT(verdict.reason, HasSubstr("does not answer"));
}

}  // namespace
}  // namespace instarctl
}  // namespace instar
