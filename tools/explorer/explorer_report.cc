// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/explorer/explorer_report.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace instar {
namespace {

constexpr std::size_t kMostLines = 30;    // of an output
constexpr std::size_t kMostReasons = 3;   // of one outcome
constexpr std::size_t kMostNumbers = 12;  // of a thread's points

bool IsFailure(const ExploredPoint& point) {
  return point.outcome == PointOutcome::kWrong ||
         point.outcome == PointOutcome::kCrashes ||
         point.outcome == PointOutcome::kHangs;
}

// "till 1-4, 7, 9; display 2".
std::string NumbersOf(const std::vector<const ExploredPoint*>& points) {
  std::map<std::string, std::vector<std::string>> ranges;
  const ExploredPoint* first = nullptr;  // of a range
  for (std::size_t i = 0; i < points.size(); ++i) {
    const ExploredPoint& point = *points[i];
    if (first == nullptr) first = &point;
    const bool goes_on = i + 1 < points.size() &&
                         points[i + 1]->thread == point.thread &&
                         points[i + 1]->number == point.number + 1;
    if (goes_on) continue;
    ranges[point.thread].push_back(
        first == &point ? absl::StrCat(point.number)
                        : absl::StrCat(first->number, "-", point.number));
    first = nullptr;
  }
  std::vector<std::string> texts;
  for (auto& [thread, all] : ranges) {
    if (all.size() > kMostNumbers) {
      all.resize(kMostNumbers);
      all.push_back("...");
    }
    texts.push_back(absl::StrCat(thread, " ", absl::StrJoin(all, ", ")));
  }
  return absl::StrJoin(texts, "; ");
}

void AppendLines(const char* title, const Lines& lines, std::string* text) {
  if (lines.empty()) return;
  absl::StrAppend(text, "  ", title, "\n");
  // The end is what tells.
  const std::size_t from =
      lines.size() > kMostLines ? lines.size() - kMostLines : 0;
  if (from > 0) absl::StrAppend(text, "    ... (", from, " lines before)\n");
  for (std::size_t i = from; i < lines.size(); ++i) {
    absl::StrAppend(text, "    ", lines[i], "\n");
  }
}

void AppendFailure(const ExploredPoint& point, std::string* text) {
  absl::StrAppend(text, "The first that goes wrong is point ", point.number,
                  " of '", point.thread, "': ", point.where, "\n");
  for (const std::string& frame : point.stack) {
    absl::StrAppend(text, "    ", frame, "\n");
  }
  absl::StrAppend(text, "  It ", ToString(point.outcome), ": ", point.why,
                  "\n");
  AppendLines("What it says when it is updated there:", point.output, text);
  AppendLines("On standard error:", point.errors, text);
}

}  // namespace

const char* ToString(PointOutcome outcome) {
  switch (outcome) {
    case PointOutcome::kRight:
      return "is right";
    case PointOutcome::kWaits:
      return "waits";
    case PointOutcome::kRefused:
      return "is refused";
    case PointOutcome::kWrong:
      return "is WRONG";
    case PointOutcome::kCrashes:
      return "CRASHES";
    case PointOutcome::kHangs:
      return "HANGS";
  }
  return "?";
}

std::size_t ExplorerReport::Count(PointOutcome outcome) const {
  return static_cast<std::size_t>(std::count_if(
      tried.begin(), tried.end(), [outcome](const ExploredPoint& point) {
        return point.outcome == outcome;
      }));
}

std::size_t ExplorerReport::failures() const {
  return static_cast<std::size_t>(
      std::count_if(tried.begin(), tried.end(), IsFailure));
}

const ExploredPoint* ExplorerReport::FirstFailure() const {
  const auto found = std::find_if(tried.begin(), tried.end(), IsFailure);
  return found == tried.end() ? nullptr : &*found;
}

std::string ExplorerReport::ToString() const {
  std::string text = absl::StrCat("update '", update, "': ");
  if (tried.size() == points) {
    absl::StrAppend(&text, "tried at all ", points, " update points\n");
  } else {
    absl::StrAppendFormat(
        &text, "tried at %d of %d update points, %.3g %%\n", tried.size(),
        points,
        100.0 * static_cast<double>(tried.size()) /
            static_cast<double>(std::max<std::size_t>(points, 1)));
  }
  for (int i = 0; i < kPointOutcomes; ++i) {
    const auto outcome = static_cast<PointOutcome>(i);
    std::vector<const ExploredPoint*> points_of;
    std::map<std::string, std::vector<const ExploredPoint*>> by_reason;
    for (const ExploredPoint& point : tried) {
      if (point.outcome != outcome) continue;
      points_of.push_back(&point);
      by_reason[point.why].push_back(&point);
    }
    if (points_of.empty()) continue;
    absl::StrAppendFormat(&text, "  %s at %d: %s\n", instar::ToString(outcome),
                          points_of.size(), NumbersOf(points_of));
    const bool is_told =
        outcome == PointOutcome::kWaits || outcome == PointOutcome::kRefused;
    if (!is_told) continue;
    std::vector<std::pair<std::string, std::vector<const ExploredPoint*>>>
        reasons(by_reason.begin(), by_reason.end());
    std::stable_sort(reasons.begin(), reasons.end(),
                     [](const auto& a, const auto& b) {
                       return a.second.size() > b.second.size();
                     });
    for (std::size_t r = 0; r < reasons.size() && r < kMostReasons; ++r) {
      absl::StrAppend(&text, "    ", reasons[r].second.size(), ": ",
                      reasons[r].first, "\n");
    }
  }
  if (const ExploredPoint* const first = FirstFailure(); first != nullptr) {
    AppendFailure(*first, &text);
  }
  for (const std::string& remark : remarks) {
    absl::StrAppend(&text, remark, "\n");
  }
  if (!status.ok()) absl::StrAppend(&text, status.message(), "\n");
  return text;
}

std::ostream& operator<<(std::ostream& stream, const ExplorerReport& report) {
  return stream << report.ToString();
}

}  // namespace instar
