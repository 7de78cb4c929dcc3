// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/redefine_entries.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "code/function_entry.h"
#include "code/symbols/function.h"
#include "code/symbols/images/symbol_name.h"
#include "stack/function_set.h"
#include "updates/mechanisms/internal/code_version.h"

namespace instar {
namespace {

// How many functions its name lists.
constexpr std::size_t kMostNamed = 5;

class EntriesMechanism final : public Mechanism {
 public:
  explicit EntriesMechanism(WipedVector<EntryRedefinition> entries)
      : entries_(std::move(entries)), name_(NameOf(entries_)) {}

  std::string name() const override { return name_; }
  MechanismTraits traits() const override {
    return {AuthorsCodeIn::kNothing, Stacks::kThisThread};
  }
  PointAllows NeedsOf(const ThreadRef&) const noexcept override {
    return PointAllows::kHold;
  }

  absl::Status Prepare(UpdateForecast&) override;
  absl::StatusOr<QuiescentCode> MustBeQuiescent(bool) override;

  Attempt Apply(const StoppedWorld& world) override {
    return redirection_.has_value()
               ? AttemptOf(redirection_->Apply(world.others()))
               : Attempt::Done();
  }
  // What was watched may be unloaded before the next time.
  void AfterStop(AttemptResult result) override {
    if (!TookEffect(result)) return;
    watched_.reset();
    watched_at_.reset();
  }
  Attempt Undo(const StoppedWorld& world) override {
    return redirection_.has_value()
               ? AttemptOf(redirection_->Undo(world.others()))
               : Attempt::Done();
  }

 private:
  static std::string NameOf(const WipedVector<EntryRedefinition>& entries);
  static Attempt AttemptOf(absl::Status status) {
    return status.ok() ? Attempt::Done() : Attempt::Failed(std::move(status));
  }

  const WipedVector<EntryRedefinition> entries_;
  const std::string name_;
  bool is_prepared_ = false;
  std::optional<Redirection> redirection_;  // if any is redefined
  // Those that have to be on no stack, and the set that was made of them.
  std::vector<Function> quiescent_;
  std::shared_ptr<const WatchedFunctions> watched_;
  std::optional<updates_internal::CodeVersion> watched_at_;
};

std::string EntriesMechanism::NameOf(
    const WipedVector<EntryRedefinition>& entries) {
  std::vector<std::string> names;
  std::size_t count = 0;
  for (const EntryRedefinition& entry : entries) {
    if (entry.to == 0 || ++count > kMostNamed) continue;
    names.push_back(code_internal::Demangle(entry.name));
  }
  return absl::StrCat("redefine ", absl::StrJoin(names, ", "),
                      count > kMostNamed
                          ? absl::StrCat(" and ", count - kMostNamed, " more")
                          : "");
}

absl::Status EntriesMechanism::Prepare(UpdateForecast&) {
  if (is_prepared_) return absl::OkStatus();
  WipedVector<AddressRedirection> redirections;
  quiescent_.clear();
  for (const EntryRedefinition& entry : entries_) {
    std::string name = code_internal::Demangle(entry.name);
    if (entry.must_be_quiescent || entry.to == 0) {
      const absl::StatusOr<Function> function =
          Function::Containing(entry.from);
      if (!function.ok()) {
        return absl::FailedPreconditionError(
            absl::StrCat(name, " has to be on no stack when it changes, and ",
                         function.status().message()));
      }
      quiescent_.push_back(*function);
    }
    if (entry.to == 0) continue;
    redirections.push_back(
        {entry.from, entry.to, std::move(name), entry.from_may_go});
  }
  // Parts of one function.
  std::sort(quiescent_.begin(), quiescent_.end());
  quiescent_.erase(std::unique(quiescent_.begin(), quiescent_.end()),
                   quiescent_.end());
  if (!redirections.empty()) {
    INSTAR_ASSIGN_OR_RETURN(redirection_, Redirection::PrepareAt(redirections));
  }
  is_prepared_ = true;
  return absl::OkStatus();
}

absl::StatusOr<QuiescentCode> EntriesMechanism::MustBeQuiescent(bool) {
  INSTAR_CHECK(is_prepared_) << "it has not been prepared";
  if (quiescent_.empty()) return QuiescentCode();
  if (!watched_at_.has_value() || !watched_at_->IsCurrent()) {
    const updates_internal::CodeVersion now;
    WatchedFunctions::Options options;
    options.ignore_unknown_copies = true;
    options.read_debug_information = false;
    INSTAR_ASSIGN_OR_RETURN(WatchedFunctions watched,
                            WatchedFunctions::Make(quiescent_, options));
    watched_ = std::make_shared<const WatchedFunctions>(std::move(watched));
    watched_at_ = now;
  }
  return QuiescentCode{{}, {watched_}};
}

}  // namespace

std::shared_ptr<Mechanism> RedefineEntries(
    WipedVector<EntryRedefinition> entries) {
  return std::make_shared<EntriesMechanism>(std::move(entries));
}

}  // namespace instar
