// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/explorer/judge.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace instar {
namespace {

// "'sold'", "nothing".
std::string LineOf(const Lines& lines, std::size_t i) {
  return i < lines.size() ? absl::StrCat("'", lines[i], "'") : "nothing";
}

std::size_t CommonBeginning(const Lines& a, const Lines& b) {
  const auto end = std::min(a.size(), b.size());
  return std::mismatch(a.begin(), a.begin() + end, b.begin()).first - a.begin();
}

std::size_t CommonEnd(const Lines& a, const Lines& b) {
  const auto end = std::min(a.size(), b.size());
  return std::mismatch(a.rbegin(), a.rbegin() + end, b.rbegin()).first -
         a.rbegin();
}

absl::Status WrongLine(std::size_t i, const ExploredRun& run) {
  return absl::InternalError(
      absl::StrCat("line ", i + 1, " is ", LineOf(run.output, i),
                   "; without the update it is ", LineOf(run.without_update, i),
                   ", with it ", LineOf(run.with_update, i)));
}

}  // namespace

std::optional<std::string> FirstDifference(const Lines& first,
                                           const Lines& second) {
  if (first == second) return std::nullopt;
  const std::size_t i = CommonBeginning(first, second);
  return absl::StrCat("line ", i + 1, ": ", LineOf(first, i), " in the first, ",
                      LineOf(second, i), " in the second");
}

absl::Status OldThenNew(const ExploredRun& run) {
  const Lines& output = run.output;
  const std::size_t old = CommonBeginning(output, run.without_update);
  if (!run.is_applied) {
    return output == run.without_update ? absl::OkStatus()
                                        : WrongLine(old, run);
  }
  if (old < run.lines_before) return WrongLine(old, run);
  const bool lines_up = run.without_update.size() == run.with_update.size();
  if (lines_up && output.size() != run.with_update.size()) {
    return absl::InternalError(
        absl::StrCat(output.size(), " lines, where both versions say ",
                     run.with_update.size(), ": line ", old + 1, " is ",
                     LineOf(output, old)));
  }
  if (output.size() - old <= CommonEnd(output, run.with_update)) {
    return absl::OkStatus();
  }
  // The first line that is neither.
  std::size_t i = old;
  while (lines_up && output[i] == run.with_update[i]) ++i;
  return WrongLine(i, run);
}

}  // namespace instar
