// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/explorer/internal/run_text.h"

#include <sys/wait.h>

#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "code/symbols/function.h"

namespace instar {
namespace explorer_internal {
namespace {

constexpr std::size_t kMostErrors = 20;  // lines of standard error

std::string NameOf(std::uintptr_t pc) {
  const absl::StatusOr<Function> function = Function::Containing(pc);
  return function.ok() ? function->name() : absl::StrCat("0x", absl::Hex(pc));
}

// "std::function" of "void std::function<void ()>::operator()() const".
std::string QualifierOf(absl::string_view name) {
  std::string word;
  int depth = 0;
  for (const char c : name) {
    if (c == '<' || c == '(') ++depth;
    if (depth == 0 && c == ' ') {
      // Behind the result's type; what follows a name is not wanted.
      if (absl::StrContains(word, "::")) break;
      word.clear();
    } else if (depth == 0) {
      word += c;
    }
    if (c == '>' || c == ')') --depth;
  }
  return word;
}

bool IsOfLibrary(absl::string_view name) {
  const std::string qualifier = QualifierOf(name);
  for (const char* const library :
       {"std::", "absl::", "instar::threads_internal::",
        "instar::UpdatePoint"}) {
    if (absl::StartsWith(qualifier, library)) return true;
  }
  return false;
}

}  // namespace

Lines LinesOf(const std::string& text) {
  if (text.empty()) return {};
  return absl::StrSplit(absl::StripSuffix(text, "\n"), '\n');
}

std::string TextOf(const RecordedPoint& point) {
  if (point.is_entry) return absl::StrCat("entry of ", NameOf(point.pc));
  return absl::StrCat("UpdatePoint(",
                      point.name.empty() ? "" : "\"" + point.name + "\"",
                      ") in ", NameOf(point.pc));
}

std::vector<std::string> StackOf(const std::vector<std::uintptr_t>& pcs) {
  std::vector<std::string> names;
  for (const std::uintptr_t pc : pcs) {
    std::string name = NameOf(pc);
    if (absl::StrContains(name, "instar::threads_internal::RunThread(")) break;
    if (!IsOfLibrary(name)) names.push_back(std::move(name));
  }
  return names;
}

std::optional<BadEnd> BadEndOf(const FinishedRun& run,
                               const RunRecord& record) {
  if (record.is_stuck || run.was_killed) {
    return BadEnd{PointOutcome::kHangs,
                  record.where.empty()
                      ? "it takes too long"
                      : absl::StrCat("it takes too long: ",
                                     absl::StrJoin(record.where, "; "))};
  }
  if (WIFSIGNALED(run.status)) {
    return BadEnd{PointOutcome::kCrashes,
                  absl::StrCat(strsignal(WTERMSIG(run.status)), " (signal ",
                               WTERMSIG(run.status), ")")};
  }
  const int code = WEXITSTATUS(run.status);
  const bool ends = record.has_returned || record.answer == Answer::kNotYet ||
                    !record.refusal.empty();
  if (code == 0 && ends) return std::nullopt;
  return BadEnd{PointOutcome::kCrashes,
                absl::StrCat("the process ends with code ", code,
                             ends ? "" : " before the workload has returned")};
}

Lines EndOf(Lines errors) {
  if (errors.size() > kMostErrors) {
    errors.erase(errors.begin(),
                 errors.end() - static_cast<std::ptrdiff_t>(kMostErrors));
  }
  return errors;
}

std::optional<std::string> DifferenceOfPoints(const RunRecord& first,
                                              const RunRecord& second) {
  for (const auto& [a, b] : {std::pair(&first, &second), {&second, &first}}) {
    for (const auto& [thread, points] : a->threads) {
      if (b->threads.count(thread) != 0) continue;
      return absl::StrCat("Thread '", thread, "' comes to ", points.size(),
                          " update points in one, and to none in the other");
    }
  }
  for (const auto& [thread, points] : first.threads) {
    const std::vector<RecordedPoint>& others = second.threads.at(thread);
    std::size_t i = 0;
    while (i < points.size() && i < others.size() && points[i] == others[i]) {
      ++i;
    }
    if (i == points.size() && i == others.size()) continue;
    const auto text = [i](const std::vector<RecordedPoint>& all) {
      return i < all.size() ? TextOf(all[i]) : std::string("its end");
    };
    return absl::StrCat("Thread '", thread, "' comes to ", points.size(),
                        " update points in the first, and to ", others.size(),
                        " in the second; its point ", i + 1, " is ",
                        text(points), " in the first, and ", text(others),
                        " in the second");
  }
  return std::nullopt;
}

}  // namespace explorer_internal
}  // namespace instar
