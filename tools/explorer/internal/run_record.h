// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a run tells whoever started it: a file that both have, of lines that are
// each written by one call, so that all is there up to the moment at which a
// run crashes. Internal to this package.

#ifndef INSTAR_TOOLS_EXPLORER_INTERNAL_RUN_RECORD_H_
#define INSTAR_TOOLS_EXPLORER_INTERNAL_RUN_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace instar {
namespace explorer_internal {

// A point as two runs compare it. Runs are children of one process: what is at
// an address in one is there in all.
struct RecordedPoint {
  bool is_entry = false;
  std::uintptr_t pc = 0;  // the entry, or in what called UpdatePoint()
  std::string name;       // of an explicit one
};
inline bool operator==(const RecordedPoint& a, const RecordedPoint& b) {
  return a.is_entry == b.is_entry && a.pc == b.pc && a.name == b.name;
}

// What came of the update.
enum class Answer {
  kNone,
  kApplied,
  kNotYet,   // and the run ends
  kPending,  // the thread went on; a later answer counts
  kFailed,
};

struct RunRecord {
  // Of a run without an update: the points of each thread, in its order.
  std::map<std::string, std::vector<RecordedPoint>> threads;
  // Of a run with one: the point, if its thread came to it.
  std::optional<RecordedPoint> point;
  std::vector<std::uintptr_t> stack;
  std::size_t lines_before = 0;
  Answer answer = Answer::kNone;
  bool went_on = false;       // kPending was said, and then perhaps another
  std::string reason;         // of the answer; of kPending if that was first
  std::string failure;        // of a later kFailed
  bool has_returned = false;  // the workload
  // A sentence: why it cannot be explored; empty if it can.
  std::string refusal;
  // Its time was up; each thread, and where it was.
  bool is_stuck = false;
  std::vector<std::string> where;
};

// By any threads, at once. All of these are one write, but WritePoints().
void WritePoint(int file, const RecordedPoint& point,
                const std::vector<std::uintptr_t>& stack,
                std::size_t lines_before);
void WriteAnswer(int file, Answer answer, absl::string_view reason);
void WriteReturned(int file);
void WriteRefusal(int file, absl::string_view refusal);
void WriteStuck(int file, const std::vector<std::string>& where);
// What a thread came to; before WriteReturned().
void WritePoints(int file, absl::string_view thread,
                 const std::vector<RecordedPoint>& points);

// What has been written so far.
RunRecord ReadRecord(const std::string& text);

}  // namespace explorer_internal
}  // namespace instar

#endif  // INSTAR_TOOLS_EXPLORER_INTERNAL_RUN_RECORD_H_
