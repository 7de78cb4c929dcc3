// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/report_json.h"

#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "manager/control/fake_control_service.h"
#include "nlohmann/json.hpp"

namespace instar {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// A list that is empty would test nothing.
void ExpectFullLists(const json& value, const std::string& name) {
  if (value.is_object()) {
    for (const auto& [key, inner] : value.items()) {
      ExpectFullLists(inner, name + "/" + key);
    }
  } else if (value.is_array()) {
    EXPECT_FALSE(value.empty()) << name;
    for (const json& inner : value) ExpectFullLists(inner, name + "[]");
  }
}

// Text to text: what was not read would be missing in the second one.
template <typename Report>
std::string RoundTrip(const Report& report) {
  const std::string text = ToJson(report);
  const absl::StatusOr<Report> read = FromJson<Report>(text);
  EXPECT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read.ok() ? ToJson(*read) : "", text);
  // An empty report differs in every field, so that none was simply skipped.
  const json full = json::parse(text), none = json::parse(ToJson(Report()));
  for (const auto& [key, value] : full.items()) {
    EXPECT_NE(value, none[key]) << key;
  }
  ExpectFullLists(full, "");
  return text;
}

TEST(ReportJsonTest, EveryReportComesBack) {
  RoundTrip(SampleProgram());
  RoundTrip(SampleStatus());
  RoundTrip(SampleUpdate());
  RoundTrip(SampleCheck());
  RoundTrip(CancelReport{{"a", "b"}});
  RoundTrip(JournalReport{SampleJournal(), 7});
  RoundTrip(ImagesReport{SampleImages()});
  RoundTrip(SampleUnload());
}

TEST(ReportJsonTest, IsAsDescribed) {
  EXPECT_EQ(json::parse(ToJson(SampleStatus())), json::parse(R"json({
    "program": {"name": "shop", "pid": 4242, "build_id": "0123456789abcdef",
                "executable": "/opt/shop/shop",
                "started_unix_us": 1700000000000000,
                "requests": 2000, "errors": 7},
    "remarks": ["shop::Price runs old code: its entry was changed"],
    "threads": [
      {"name": "display", "tid": 4242, "kind": "active", "state": "running",
       "is_registered": true},
      {"name": "socket", "tid": 4243, "kind": "passive", "state": "blocked",
       "is_registered": false}],
    "applied": [
      {"update": "ratings", "module": "/opt/shop/add_ratings.so",
       "applied_unix_us": 1700000060000000,
       "hold_times": {"threads": 2, "median_ns": 85000, "maximum_ns": 120000,
                      "by_signal": 1, "stopping_ns": 90000},
       "elapsed_ns": 210000, "is_converting": true,
       "can_undo": {"code": "FAILED_PRECONDITION",
                    "message": "display was rebooted"},
       "lost_by_undo": ["convert Product: what only ProductV2 holds"]}],
    "pending": [
      {"kind": "undo", "update": "show_ratings",
       "module": "/opt/shop/show_ratings.so",
       "waits_for": "the update ratings", "timeout_ns": 30000000000,
       "elapsed_ns": 1600000000,
       "progress": {
         "phase": "waiting", "attempts": 3, "elapsed_ns": 1550000000,
         "blockers": [
           {"thread": "socket", "tid": 4243,
            "function": "shop::DoCommand(std::string const&)", "frame": 2,
            "since_ns": 1500000000, "reason": "DoCommand is active",
            "remedy": "the thread leaves it when its client sends a command"}],
         "objects_converted": 40, "objects_total": 160,
         "is_converting": true}}],
    "classes": [
      {"class_name": "shop::Product",
       "by_version": [{"name": "shop::Product", "objects": 120},
                      {"name": "ProductV2", "objects": 40}],
       "subclasses": [{"name": "shop::Book", "objects": 3}],
       "being_converted": 1, "failed": 2, "outside": 4, "automatic": 3,
       "untracked": 5}],
    "kept": [
      {"update": "marks", "module": "marks.0123456700000002.so",
       "because":
         "something leads to shop::Mark(): the heap, at 0x1000"}]})json"));
}

TEST(ReportJsonTest, EveryValueOfAnEnumerationHasAName) {
  StatusReport status;
  for (int i = 0; i < kThreadStates; ++i) {
    status.threads.emplace_back().state = static_cast<ThreadState>(i);
  }
  for (int i = 0; i <= static_cast<int>(UpdatePhase::kBroken); ++i) {
    status.pending.emplace_back().progress.phase = static_cast<UpdatePhase>(i);
  }
  const absl::StatusOr<StatusReport> read =
      FromJson<StatusReport>(ToJson(status));
  ASSERT_TRUE(read.ok()) << read.status();
  for (int i = 0; i < kThreadStates; ++i) {
    EXPECT_EQ(read->threads[i].state, static_cast<ThreadState>(i));
  }
  for (int i = 0; i <= static_cast<int>(UpdatePhase::kBroken); ++i) {
    EXPECT_EQ(read->pending[i].progress.phase, static_cast<UpdatePhase>(i));
  }
}

TEST(ReportJsonTest, AcceptsOlderAndNewerReports) {
  const absl::StatusOr<UpdateReport> report = FromJson<UpdateReport>(
      R"({"update": "ratings", "elapsed_ns": 5, "of_next_year": [1]})");
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->update, "ratings");
  EXPECT_EQ(report->elapsed.count(), 5);
  EXPECT_EQ(report->attempts, 0);
}

TEST(ReportJsonTest, NamesTheFieldThatIsWrong) {
  for (const char* text :
       {R"({"attempts": "3"})", R"({"attempts": 3.5})",
        R"({"attempts": 3000000000})", R"({"attempts": -3000000000})",
        R"({"attempts": 18446744073709551615})", R"({"attempts": null})"}) {
    const absl::Status status = FromJson<UpdateReport>(text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("\"attempts\""));
  }
  const char* const wrong[] = {
      R"({"threads": {}})",
      R"({"threads": [3]})",
      R"({"threads": [{"state": "asleep"}]})",
      R"({"threads": [{"is_registered": 1}]})",
      R"({"classes": [{"failed": -1}]})",
      R"({"classes": [{"by_version": [{"name": "x"}]}]})",
      R"({"program": []})",
      R"({"program": {"started_unix_us": 9223372036854775807}})",
      R"([])",
      R"({)",
      "",
  };
  for (const char* text : wrong) {
    EXPECT_TRUE(absl::IsInvalidArgument(FromJson<StatusReport>(text).status()))
        << text;
  }
}

TEST(ReportJsonTest, TextThatIsNoUtf8IsMended) {
  ProgramReport program;
  program.name = "sh\xffop";
  EXPECT_EQ(FromJson<ProgramReport>(ToJson(program))->name, "sh\xef\xbf\xbdop");
}

TEST(ErrorJsonTest, EveryCodeComesBack) {
  using manager_internal::ErrorFromJson;
  using manager_internal::ErrorToJson;
  for (int code = 1; code <= 16; ++code) {
    const absl::Status error(static_cast<absl::StatusCode>(code), "why");
    EXPECT_EQ(ErrorFromJson(ErrorToJson(error)), error);
  }
  EXPECT_EQ(ErrorFromJson(json::parse(R"({"code": "NEW", "message": "m"})")),
            absl::UnknownError("NEW: m"));
  for (const char* text : {"3", "{}", R"({"code": 3})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ErrorFromJson(json::parse(text))));
  }
}

}  // namespace
}  // namespace instar
