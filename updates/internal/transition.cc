// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/transition.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "updates/internal/author_calls.h"

namespace instar {
namespace updates_internal {

bool Transition::Part::RunsAuthors() const {
  return traits.authors != AuthorsCodeIn::kNothing;
}
bool Transition::Part::IsAuthors() const {
  return traits.authors == AuthorsCodeIn::kEverything ||
         traits.authors == AuthorsCodeIn::kQuestions;
}

Transition::Transition(std::vector<std::shared_ptr<Mechanism>> mechanisms) {
  for (std::shared_ptr<Mechanism>& mechanism : mechanisms) {
    INSTAR_CHECK(mechanism != nullptr) << "a mechanism is an object";
    MechanismTraits traits = mechanism->traits();
    parts_.push_back(Part{std::move(mechanism), std::move(traits), {}});
  }
}

absl::Status Transition::In(const std::string& name,
                            const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat(name, ": ", status.message()));
}

// --- The watch.

absl::Status Transition::StartWatch(WatchOptions options) {
  bool is_needed = options.in_any_case;
  for (const Part& part : parts_) {
    is_needed |= options.for_questions ? part.IsAuthors() : part.RunsAuthors();
  }
  if (!is_needed) {
    // One of a process that is not this one watches over nothing.
    if (!calls_.has_begun()) calls_.End();
    return absl::OkStatus();
  }
  return calls_.Start(std::move(options));
}

absl::Status Transition::CallUnheld(
    const Part& part, const char* what,
    absl::FunctionRef<absl::Status()> function) const {
  if (calls_.own() == nullptr || !part.IsAuthors()) {
    const absl::Status status = CallAuthor(function);
    return status.ok() ? status : In(part.mechanism->name(), status);
  }
  const absl::Status status =
      calls_.Call(absl::StrCat(what, " of ", part.mechanism->name()), function);
  return status.ok() || calls_.gave_up() ? status
                                         : In(part.mechanism->name(), status);
}

// Of what answers nothing: an exception is said on standard error. An error is
// that it has been given up.
absl::Status Transition::TellUnheld(const Part& part, const char* what,
                                    absl::FunctionRef<void()> function) const {
  absl::Status status = CallUnheld(part, what, [&] {
    function();
    return absl::OkStatus();
  });
  if (status.ok() || calls_.gave_up()) return status;
  const std::string message = absl::StrCat("instar: ", status.message(), "\n");
  std::fwrite(message.data(), 1, message.size(), stderr);
  return absl::OkStatus();
}

// --- While threads run.

absl::Status Transition::Prepare(UpdateForecast& forecast) {
  for (const Part& part : parts_) {
    forecast.steps.push_back(part.mechanism->name());
    INSTAR_RETURN_IF_ERROR(CallUnheld(
        part, "Prepare()", [&] { return part.mechanism->Prepare(forecast); }));
  }
  return FindCode(/*thorough=*/false);
}

absl::Status Transition::CanUndo() const {
  for (const Part& part : parts_) {
    const auto ask = [&] { return part.mechanism->CanUndo(); };
    INSTAR_RETURN_IF_ERROR(
        part.IsAuthors()
            ? calls_.Call(absl::StrCat("CanUndo() of ", part.mechanism->name()),
                          ask)
            : CallAuthor(ask));
  }
  return absl::OkStatus();
}

std::vector<std::string> Transition::LostByUndo() const {
  std::vector<std::string> all;
  for (const Part& part : parts_) {
    const std::string name = part.mechanism->name();
    std::vector<std::string> lost;
    const auto ask = [&] {
      lost = part.mechanism->LostByUndo();
      return absl::OkStatus();
    };
    const absl::Status asked =
        part.IsAuthors()
            ? calls_.Call(absl::StrCat("LostByUndo() of ", name), ask)
            : CallAuthor(ask);
    if (!asked.ok()) {
      lost.push_back(absl::StrCat("it is not known what: ", asked.message()));
    }
    for (const std::string& each : lost) {
      all.push_back(absl::StrCat(name, ": ", each));
    }
  }
  return all;
}

std::vector<ThreadRef> Transition::StartedThreads() const {
  std::vector<ThreadRef> started;
  for (const Part& part : parts_) {
    for (ThreadRef& thread : part.mechanism->StartedThreads()) {
      started.push_back(std::move(thread));
    }
  }
  return started;
}

Mechanism::Progress Transition::progress() const {
  Mechanism::Progress sum;
  for (const Part& part : parts_) {
    const Mechanism::Progress own = part.mechanism->progress();
    sum.converted += own.converted;
    sum.total += own.total;
    sum.is_converting |= own.is_converting;
  }
  return sum;
}

absl::Status Transition::BeginAttempts() {
  for (const Part& part : parts_) {
    INSTAR_RETURN_IF_ERROR(CallUnheld(part, "BeginAttempts()", [&] {
      return part.mechanism->BeginAttempts();
    }));
  }
  return absl::OkStatus();
}

void Transition::EndAttempts() {
  for (const Part& part : parts_) {
    TellUnheld(part, "EndAttempts()", [&] {
      part.mechanism->EndAttempts();
    }).IgnoreError();
  }
}

absl::Status Transition::Functions::Watch(std::vector<Function> wanted,
                                          bool ignore_unknown_copies) {
  if (watched != nullptr && wanted == functions && version->IsCurrent()) {
    return absl::OkStatus();
  }
  // Before anything is looked up: what changes meanwhile is seen next time.
  const CodeVersion looked_up_at;
  WatchedFunctions::Options options;
  options.ignore_unknown_copies = ignore_unknown_copies;
  INSTAR_ASSIGN_OR_RETURN(WatchedFunctions made,
                          WatchedFunctions::Make(wanted, options));
  watched = std::make_shared<WatchedFunctions>(std::move(made));
  version = looked_up_at;
  functions = std::move(wanted);
  return absl::OkStatus();
}

absl::Status Transition::FindCode(bool thorough) {
  std::vector<Function> lenient, strict;
  watched_.clear();
  can_be_forced_ = false;
  for (const Part& part : parts_) {
    const auto ask = [&]() -> absl::Status {
      INSTAR_ASSIGN_OR_RETURN(QuiescentCode own,
                              part.mechanism->MustBeQuiescent(thorough));
      can_be_forced_ = parts_.size() == 1 && own.can_be_forced &&
                       !own.functions.empty() && own.sets.empty();
      std::vector<Function>& functions =
          own.ignore_unknown_copies ? lenient : strict;
      functions.insert(functions.end(), own.functions.begin(),
                       own.functions.end());
      for (auto& set : own.sets) watched_.push_back(std::move(set));
      return absl::OkStatus();
    };
    INSTAR_RETURN_IF_ERROR(
        CallUnheld(part, "what says which functions must not be active", ask));
  }
  INSTAR_RETURN_IF_ERROR(
      lenient_.Watch(std::move(lenient), /*ignore_unknown_copies=*/true));
  watched_.push_back(lenient_.watched);
  if (strict.empty()) return absl::OkStatus();
  INSTAR_RETURN_IF_ERROR(
      strict_.Watch(std::move(strict), /*ignore_unknown_copies=*/false));
  watched_.push_back(strict_.watched);
  return absl::OkStatus();
}

PointAllows Transition::NeedsOf(const ThreadRef& thread) const {
  PointAllows most = PointAllows::kHold;
  for (const Part& part : parts_) {
    most = std::max(most, part.mechanism->NeedsOf(thread));
  }
  return most;
}

absl::Status Transition::BeforeStop() {
  for (Part& part : parts_) {
    part.name = part.mechanism->name();
    INSTAR_RETURN_IF_ERROR(CallUnheld(
        part, "BeforeStop()", [&] { return part.mechanism->BeforeStop(); }));
  }
  not_yet_.clear();
  not_yet_.reserve(parts_.size());
  failure_.emplace();
  failure_->not_rolled_back.reserve(parts_.size());
  return absl::OkStatus();
}

void Transition::AfterStop(AttemptResult result) {
  for (const Part& part : parts_) {
    TellUnheld(part, "AfterStop()", [&] {
      part.mechanism->AfterStop(result);
    }).IgnoreError();
  }
}

}  // namespace updates_internal
}  // namespace instar
