// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/protocol.h"

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/control/fake_control_service.h"
#include "manager/control/frame.h"
#include "nlohmann/json.hpp"

namespace instar {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST(RequestTest, EveryCommandComesBack) {
  for (int i = 0; i < kCommands; ++i) {
    Request request;
    request.id = 7 + i;
    request.command = static_cast<Command>(i);
    request.path = "/opt/ratings.so";
    request.update = "ratings";
    request.timeout = std::chrono::nanoseconds(123'456'789);
    request.entries = 5;
    request.without_stacks = true;
    const absl::StatusOr<std::string> text = EncodeRequest(request);
    ASSERT_TRUE(text.ok()) << text.status();
    const DecodedRequest decoded = DecodeRequest(*text);
    ASSERT_TRUE(decoded.request.ok()) << decoded.request.status();
    EXPECT_EQ(decoded.id, request.id);
    EXPECT_EQ(decoded.request->id, request.id);
    EXPECT_EQ(decoded.request->command, request.command);
    const bool has_path =
        request.command == Command::kLoad || request.command == Command::kCheck;
    const bool has_update = request.command == Command::kUndo ||
                            request.command == Command::kCancel ||
                            request.command == Command::kUnload;
    const bool has_timeout = request.command == Command::kLoad ||
                             request.command == Command::kUndo ||
                             request.command == Command::kUnload;
    EXPECT_EQ(decoded.request->path, has_path ? request.path : "");
    EXPECT_EQ(decoded.request->update, has_update ? request.update : "");
    EXPECT_EQ(decoded.request->timeout,
              has_timeout ? request.timeout : kDefaultTimeout);
    EXPECT_EQ(decoded.request->without_stacks,
              request.command == Command::kCheck);
    EXPECT_EQ(decoded.request->entries,
              request.command == Command::kLog ? 5 : kDefaultLogEntries);
  }
}

TEST(RequestTest, IsAsDescribed) {
  Request request;
  request.id = 7;
  request.command = Command::kLoad;
  request.path = "/opt/ratings.so";
  EXPECT_EQ(json::parse(*EncodeRequest(request)), json::parse(R"(
      {"version": 1, "id": 7, "request": "load", "path": "/opt/ratings.so",
       "timeout_ns": 30000000000})"));
}

TEST(RequestTest, ATimeLimitIsAYearAtMost) {
  const DecodedRequest decoded = DecodeRequest(
      R"({"id": 1, "version": 1, "request": "load", "path": "/a.so",
          "timeout_ns": 9223372036854775807})");
  ASSERT_TRUE(decoded.request.ok()) << decoded.request.status();
  EXPECT_EQ(decoded.request->timeout, std::chrono::hours(365 * 24));
}

TEST(RequestTest, IsRefusedByWhatIsWrong) {
  const struct {
    const char* text;
    std::int64_t id;
    absl::StatusCode code;
    const char* message;
  } kCases[] = {
      {"", 0, absl::StatusCode::kInvalidArgument, "JSON object"},
      {"[]", 0, absl::StatusCode::kInvalidArgument, "JSON object"},
      {"{\"id\"", 0, absl::StatusCode::kInvalidArgument, "JSON object"},
      {"{}", 0, absl::StatusCode::kInvalidArgument, "\"id\" is missing"},
      {R"({"id": 0})", 0, absl::StatusCode::kInvalidArgument, "\"id\""},
      {R"({"id": 1.5})", 0, absl::StatusCode::kInvalidArgument, "\"id\""},
      {R"({"id": 9223372036854775808})", 0, absl::StatusCode::kInvalidArgument,
       "\"id\""},
      {R"({"id": 3})", 3, absl::StatusCode::kInvalidArgument, "\"version\""},
      {R"({"id": 3, "version": "1"})", 3, absl::StatusCode::kInvalidArgument,
       "\"version\""},
      {R"({"id": 3, "version": 2, "request": "status"})", 3,
       absl::StatusCode::kUnimplemented, "speaks version 1"},
      {R"({"id": 3, "version": 1})", 3, absl::StatusCode::kInvalidArgument,
       "\"request\""},
      {R"({"id": 3, "version": 1, "request": 5})", 3,
       absl::StatusCode::kInvalidArgument, "\"request\" must be a string"},
      {R"({"id": 3, "version": 1, "request": "dance"})", 3,
       absl::StatusCode::kUnimplemented, "\"dance\""},
      {R"({"id": 3, "version": 1, "request": "load"})", 3,
       absl::StatusCode::kInvalidArgument, "\"path\" must be the absolute"},
      {R"({"id": 3, "version": 1, "request": "check", "path": "a.so"})", 3,
       absl::StatusCode::kInvalidArgument, "\"a.so\""},
      {R"({"id": 3, "version": 1, "request": "load", "path": "/a\u0000b"})", 3,
       absl::StatusCode::kInvalidArgument, "a zero"},
      {R"({"id": 3, "version": 1, "request": "load", "path": "/a",
           "timeout_ns": -1})",
       3, absl::StatusCode::kInvalidArgument, "\"timeout_ns\""},
      {R"({"id": 3, "version": 1, "request": "log", "entries": 1e3})", 3,
       absl::StatusCode::kInvalidArgument, "\"entries\""},
  };
  for (const auto& c : kCases) {
    const DecodedRequest decoded = DecodeRequest(c.text);
    EXPECT_EQ(decoded.id, c.id) << c.text;
    EXPECT_EQ(decoded.request.status().code(), c.code) << c.text;
    EXPECT_THAT(std::string(decoded.request.status().message()),
                HasSubstr(c.message))
        << c.text;
  }
}

TEST(RequestTest, UnknownFieldsArePassedOver) {
  EXPECT_TRUE(DecodeRequest(
                  R"({"id": 3, "version": 1, "request": "status", "new": {}})")
                  .request.ok());
}

TEST(RequestTest, DeepNestingIsNoRecursion) {
  std::string text = R"({"id": 3, "version": 1, "request": "status", "x": )";
  text.append((kMaxRequestBytes - text.size()) / 2 - 1, '[');
  EXPECT_FALSE(DecodeRequest(text).request.ok());
  const std::size_t opened = text.size() - text.find('[');
  text.append(opened, ']');
  text.push_back('}');
  EXPECT_TRUE(DecodeRequest(text).request.ok());
}

TEST(RequestTest, CannotBeSent) {
  Request request;
  request.command = Command::kLoad;
  request.path = "/opt/\xff.so";
  EXPECT_THAT(std::string(EncodeRequest(request).status().message()),
              HasSubstr("is not UTF-8"));
  request.path = "/" + std::string(kMaxRequestBytes, 'x');
  EXPECT_TRUE(absl::IsInvalidArgument(EncodeRequest(request).status()));
}

TEST(ReplyTest, ReportsAndErrorsComeBack) {
  const auto reply = DecodeReply(EncodeReply<UpdateReport>(7, SampleUpdate()));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->id(), 7);
  EXPECT_TRUE(reply->status().ok());
  const auto report = reply->As<UpdateReport>();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(ToJson(*report), ToJson(SampleUpdate()));

  const absl::Status error = absl::NotFoundError("no such file");
  const auto refusal = DecodeReply(EncodeReply<UpdateReport>(8, error));
  ASSERT_TRUE(refusal.ok()) << refusal.status();
  EXPECT_EQ(refusal->id(), 8);
  EXPECT_EQ(refusal->status(), error);
  EXPECT_EQ(refusal->As<UpdateReport>().status(), error);
}

TEST(ReplyTest, IsAsDescribed) {
  EXPECT_EQ(
      json::parse(EncodeReply<CancelReport>(7, CancelReport{{"a"}})),
      json::parse(R"({"version": 1, "id": 7, "ok": {"updates": ["a"]}})"));
  EXPECT_EQ(json::parse(EncodeError(0, absl::AbortedError("m"))),
            json::parse(R"({"version": 1, "id": 0,
                            "error": {"code": "ABORTED", "message": "m"}})"));
}

TEST(ReplyTest, OneThatIsTooLongBecomesAnError) {
  JournalReport journal;
  journal.entries.resize(1);
  journal.entries[0].detail = std::string(kMaxFrameBytes, 'x');
  const std::string text = EncodeReply<JournalReport>(7, journal);
  EXPECT_LE(text.size(), kMaxFrameBytes);
  EXPECT_TRUE(absl::IsResourceExhausted(DecodeReply(text)->status()));

  for (const char* byte : {"x", "\1", "\xff", "\xc3\xa9"}) {
    std::string message;
    while (message.size() <= kMaxFrameBytes) message += byte;
    const std::string error = EncodeError(7, absl::AbortedError(message));
    EXPECT_LE(error.size(), kMaxFrameBytes);
    EXPECT_TRUE(absl::IsAborted(DecodeReply(error)->status()));
    EXPECT_THAT(std::string(DecodeReply(error)->status().message()),
                HasSubstr("[the rest was too long]"));
  }
}

TEST(ReplyTest, NonsenseIsNoReply) {
  for (const char* text :
       {"", "[]", "{", "{}", R"({"id": 3})", R"({"id": "3", "ok": {}})",
        R"({"id": -1, "ok": {}})",
        R"({"id": 3, "ok": {}, "error": {"code": "ABORTED"}})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(DecodeReply(text).status())) << text;
  }
  const auto other = DecodeReply(R"({"id": 3, "ok": [1]})");
  ASSERT_TRUE(other.ok());
  EXPECT_TRUE(absl::IsInvalidArgument(other->As<UpdateReport>().status()));
}

}  // namespace
}  // namespace instar
