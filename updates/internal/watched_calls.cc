// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/internal/watched_calls.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/at_fork.h"
#include "base/status_macros.h"
#include "updates/internal/author_calls.h"

namespace instar {
namespace updates_internal {

bool WatchedCalls::has_begun() const {
  return watch_ != nullptr && generation_ == ForkGeneration();
}

absl::Status WatchedCalls::Start(Options options) {
  if (has_begun()) return absl::OkStatus();
  End();
  auto watch = std::make_shared<AuthorWatch>(
      options.until, std::move(options.is_cancelled), options.at_least);
  INSTAR_RETURN_IF_ERROR(watch->Start());
  generation_ = ForkGeneration();
  SetEffect(Effect::kNone);
  std::lock_guard<std::mutex> lock(lock_);
  watch_ = std::move(watch);
  return absl::OkStatus();
}

void WatchedCalls::End() {
  if (watch_ == nullptr) return;
  std::shared_ptr<AuthorWatch> watch;  // ends when the lock is free
  std::lock_guard<std::mutex> lock(lock_);
  watch = std::move(watch_);
  if (generation_ == ForkGeneration()) return;
  // In a child of fork() its thread is not there to be joined: it is left as it
  // is, for good.
  static_cast<void>(new std::shared_ptr<AuthorWatch>(std::move(watch)));
}

absl::Status WatchedCalls::Call(const std::string& what,
                                absl::FunctionRef<absl::Status()> function,
                                Clock::duration at_least) const {
  if (watch_ == nullptr) return CallAuthor(function);
  absl::Status status = watch_->Call(what, function, at_least);
  if (!watch_->gave_up()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(status.message(), "; ", TextOf(effect())));
}

std::shared_ptr<AuthorWatch> WatchedCalls::watch() const {
  std::lock_guard<std::mutex> lock(lock_);
  return watch_;
}

const char* WatchedCalls::TextOf(Effect effect) {
  switch (effect) {
    case Effect::kNone:
      return "nothing was changed";
    case Effect::kApplied:
      return "the update has taken effect";
    case Effect::kUndone:
      return "the update has been undone";
    case Effect::kUnknown:
      break;
  }
  return "the state of the program is unknown";
}

}  // namespace updates_internal
}  // namespace instar
