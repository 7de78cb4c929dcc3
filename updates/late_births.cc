// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/late_births.h"

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "heap/version_change.h"
#include "updates/author_watch.h"
#include "updates/class_watch.h"

namespace instar {

using updates_internal::AuthorWatch;
using updates_internal::HoldOptions;
using updates_internal::Patience;
using updates_internal::RememberedWatch;
using updates_internal::WatchedSet;
using updates_internal::WhenHeldAndQuiescent;

namespace {

// Threads are released under a Convert() that takes longer than this.
constexpr std::chrono::seconds kLongestConversion(5);

}  // namespace

Attempt LateBirths::TryConvert() {
  if (const auto too_early = patience_.TooEarly(Patience::Clock::now());
      too_early.has_value() && HaveLateBirths()) {
    return *too_early;
  }
  std::vector<std::string> reasons;
  absl::Status first_error;
  // One after the other: a class in which somebody stays is in no other's way.
  for (heap_internal::UpdatableClass* root : ClassesWithLateBirths()) {
    // What those before it took may be all that others can be made to wait.
    if (auto too_early = patience_.TooEarly(Patience::Clock::now())) {
      reasons.push_back(too_early->reason());
      break;
    }
    Attempt attempt = TryConvert(root);
    if (attempt.is_not_yet()) reasons.push_back(attempt.reason());
    if (first_error.ok()) first_error = attempt.status();
  }
  is_thorough_ = !reasons.empty();
  if (!first_error.ok()) return Attempt::Failed(std::move(first_error));
  if (reasons.empty()) return Attempt::Done();
  return Attempt::NotYet(absl::StrJoin(reasons, "; "));
}

void LateBirths::SetWatch(std::shared_ptr<AuthorWatch> watch) {
  std::lock_guard<std::mutex> lock(lock_);
  watch_.swap(watch);
}

std::string LateBirths::running() const {
  std::shared_ptr<AuthorWatch> watch;
  {
    std::lock_guard<std::mutex> lock(lock_);
    watch = watch_;
  }
  return watch == nullptr ? "" : watch->running();
}

Attempt LateBirths::TryConvert(heap_internal::UpdatableClass* root) {
  const absl::StatusOr<WatchedSet> watched =
      RememberedWatch(root)->Get(is_thorough_);
  if (!watched.ok()) return Attempt::Failed(watched.status());
  const auto watch = std::make_shared<AuthorWatch>(
      AuthorWatch::Clock::time_point::min(), [] { return false; },
      kLongestConversion);
  absl::Status watching = watch->Start();
  if (!watching.ok()) return Attempt::Failed(std::move(watching));
  SetWatch(watch);
  const absl::Cleanup end = [this] { SetWatch(nullptr); };
  HoldOptions options;
  options.patience = &patience_;
  options.threads = options_.threads;
  options.watch = &*watch;
  options.what = absl::StrCat("Convert() of an object of ", root->name());
  return WhenHeldAndQuiescent({*watched}, options, [&] {
    return ConvertLateBirths(root, &watch->conversion());
  });
}

}  // namespace instar
