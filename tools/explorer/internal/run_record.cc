// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/explorer/internal/run_record.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace instar {
namespace explorer_internal {
namespace {

// A line is a letter and fields, each behind a tab. Fields of text are escaped.
constexpr char kPoint[] = "p", kFrame[] = "f", kAnswer[] = "a",
               kReturned[] = "r", kRefusal[] = "x", kStuck[] = "s",
               kWhere[] = "w", kThread[] = "t", kOfThread[] = "o";

void Write(int file, absl::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = write(file, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return;  // no memory: what is missing will be noticed
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
}

std::string Line(absl::string_view kind, absl::string_view text) {
  return absl::StrCat(kind, "\t", absl::CEscape(text), "\n");
}

std::string FieldsOf(const RecordedPoint& point) {
  return absl::StrCat("\t", point.is_entry ? 1 : 0, "\t", absl::Hex(point.pc),
                      "\t", absl::CEscape(point.name));
}

std::uintptr_t Address(absl::string_view text) {
  std::uint64_t address = 0;
  return absl::SimpleHexAtoi(text, &address) ? address : 0;
}

std::string Text(absl::string_view field) {
  std::string text;
  return absl::CUnescape(field, &text) ? text : std::string(field);
}

RecordedPoint PointOf(const std::vector<absl::string_view>& fields) {
  if (fields.size() < 4) return {};
  return {fields[1] == "1", Address(fields[2]), Text(fields[3])};
}

}  // namespace

void WritePoint(int file, const RecordedPoint& point,
                const std::vector<std::uintptr_t>& stack,
                std::size_t lines_before) {
  std::string text;
  for (const std::uintptr_t pc : stack) {
    absl::StrAppend(&text, kFrame, "\t", absl::Hex(pc), "\n");
  }
  absl::StrAppend(&text, kPoint, FieldsOf(point), "\t", lines_before, "\n");
  Write(file, text);
}

void WriteAnswer(int file, Answer answer, absl::string_view reason) {
  Write(file, absl::StrCat(kAnswer, "\t", static_cast<int>(answer), "\t",
                           absl::CEscape(reason), "\n"));
}

void WriteReturned(int file) { Write(file, Line(kReturned, "")); }

void WriteRefusal(int file, absl::string_view refusal) {
  Write(file, Line(kRefusal, refusal));
}

void WriteStuck(int file, const std::vector<std::string>& where) {
  std::string text;
  for (const std::string& thread : where) text += Line(kWhere, thread);
  Write(file, text + Line(kStuck, ""));
}

void WritePoints(int file, absl::string_view thread,
                 const std::vector<RecordedPoint>& points) {
  std::string text = Line(kThread, thread);
  for (const RecordedPoint& point : points) {
    absl::StrAppend(&text, kOfThread, FieldsOf(point), "\n");
  }
  Write(file, text);
}

RunRecord ReadRecord(const std::string& text) {
  RunRecord record;
  std::vector<RecordedPoint>* of_thread = nullptr;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, '\t');
    const absl::string_view kind = fields[0];
    if (fields.size() < 2) continue;
    if (kind == kFrame) {
      record.stack.push_back(Address(fields[1]));
    } else if (kind == kPoint) {
      record.point = PointOf(fields);
      std::uint64_t lines = 0;
      if (fields.size() > 4 && absl::SimpleAtoi(fields[4], &lines)) {
        record.lines_before = lines;
      }
    } else if (kind == kAnswer && fields.size() > 2) {
      int answer = 0;
      if (absl::SimpleAtoi(fields[1], &answer)) {
        record.answer = static_cast<Answer>(answer);
        record.went_on |= record.answer == Answer::kPending;
      }
      const bool is_later = record.went_on && record.answer == Answer::kFailed;
      (is_later ? record.failure : record.reason) = Text(fields[2]);
    } else if (kind == kReturned) {
      record.has_returned = true;
    } else if (kind == kRefusal) {
      record.refusal = Text(fields[1]);
    } else if (kind == kStuck) {
      record.is_stuck = true;
    } else if (kind == kWhere) {
      record.where.push_back(Text(fields[1]));
    } else if (kind == kThread) {
      of_thread = &record.threads[Text(fields[1])];
    } else if (kind == kOfThread && of_thread != nullptr) {
      of_thread->push_back(PointOf(fields));
    }
  }
  return record;
}

}  // namespace explorer_internal
}  // namespace instar
