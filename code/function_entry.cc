// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/function_entry.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/error_text.h"
#include "base/linux/image_pin.h"
#include "base/status_macros.h"
#include "code/internal/entry_record.h"
#include "code/internal/entry_state.h"
#include "code/internal/patchable_entries.h"
#include "code/internal/text_patch.h"
#include "code/program_check/folded_functions.h"
#include "code/symbols/images/symbol_name.h"

namespace instar {

using code_internal::CodeLock;
using code_internal::EntryChange;
using code_internal::EntryRecord;
using code_internal::kEntrySize;
using code_internal::PastTarget;
using code_internal::RedirectionLayer;

struct Redirection::State {
  struct Item {
    EntryRecord* record = nullptr;
    std::string name;                   // for messages
    RedirectionLayer* layer = nullptr;  // the record's while applied
    // The latest redirection of the entry once the change at hand is done.
    RedirectionLayer* next = nullptr;
    // Goes to the record when first applied.
    std::unique_ptr<PastTarget> past_target;
  };

  ~State() {
    if (applied) return;
    for (const Item& item : items) delete item.layer;
  }

  // Notes that the entries have been redirected. Allocates nothing.
  void RecordTargets(const CodeLock& lock);

  // The bytes that change with `next`: none at entries that are intercepted,
  // whose thunk looks the target up.
  absl::Status Write(const CodeLock& lock, OtherThreads others);
  // Whether somebody else has changed an entry.
  absl::Status CheckForOthers(const CodeLock& lock) const;
  // Whether, with `next`, a function leads to itself.
  absl::Status CheckForCircles(const CodeLock& lock) const;
  absl::Status FollowPlans() const;
  void PublishTargets(const CodeLock& lock);

  bool applied = false;
  std::vector<Item> items;  // by entry
  std::vector<EntryChange> changes;
};

absl::Status Redirection::State::CheckForCircles(const CodeLock&) const {
  for (const Item& item : items) {
    item.record->planned = item.next;
    item.record->has_plan = true;
  }
  const absl::Status status = FollowPlans();
  for (const Item& item : items) item.record->has_plan = false;
  return status;
}

absl::Status Redirection::State::CheckForOthers(const CodeLock& lock) const {
  for (const Item& item : items) {
    if (!code_internal::IsChangedBySomebodyElse(lock, *item.record)) continue;
    // A probe that came and went: nobody needs what it left.
    if (item.record->armed == 0 &&
        code_internal::HasLostItsChange(*item.record)) {
      continue;
    }
    return code_internal::ChangedBySomebodyElse(*item.record, item.name);
  }
  return absl::OkStatus();
}

absl::Status Redirection::State::FollowPlans() const {
  for (const Item& item : items) {
    uintptr_t at = TargetOf(*item.record, item.next);
    // A circle that does not lead through this function is found from one that
    // it leads through, so that the number of steps only has to be bounded.
    for (size_t steps = 0; steps < items.size() + 1000; ++steps) {
      if (at == item.record->entry) {
        return ErrorWithText(
            absl::StatusCode::kInvalidArgument,
            "the function at %#x would lead back to itself; use Original() to "
            "reach the function as it was compiled",
            at);
      }
      const EntryRecord* const record = code_internal::FindEntryRecord(at);
      if (record == nullptr) break;
      at = TargetOf(*record,
                    record->has_plan ? record->planned : record->layers);
    }
  }
  return absl::OkStatus();
}

absl::Status Redirection::State::Write(const CodeLock& lock,
                                       OtherThreads others) {
  INSTAR_RETURN_IF_ERROR(CheckForOthers(lock));
  changes.clear();
  for (const Item& item : items) {
    if (item.record->armed > 0 || item.next == item.record->layers) continue;
    EntryChange& change = changes.emplace_back();
    change.record = item.record;
    change.single_byte_no_ops = code_internal::HasOneByteNoOps(*item.record);
    EncodeEntry(*item.record, 0, item.next, change.bytes);
  }
  return code_internal::WriteEntries(lock, changes.data(), changes.size(),
                                     others);
}

void Redirection::State::RecordTargets(const CodeLock&) {
  for (Item& item : items) {
    if (item.past_target == nullptr) continue;
    const PastTarget* known = item.record->past_targets;
    while (known != nullptr && known->target != item.layer->target) {
      known = known->next;
    }
    if (known != nullptr) continue;
    item.past_target->next = item.record->past_targets;
    item.record->past_targets = item.past_target.release();
    code_internal::past_target_changes.fetch_add(1, std::memory_order_release);
  }
}

void Redirection::State::PublishTargets(const CodeLock&) {
  for (const Item& item : items) {
    // Pairs with the load in the thunk's handler,
    // code/internal/entry_handler.cc.
    __atomic_store_n(&item.record->target,
                     TargetOf(*item.record, item.record->layers),
                     __ATOMIC_RELEASE);
  }
}

namespace {

absl::Status CheckInlinedCopies(const Function& function,
                                absl::Span<const EntryRedirection> batch) {
  if (!function.clones().empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        function.name(), " cannot be redirected: callers reach copies of it (",
        absl::StrJoin(function.clones(), ", "),
        ") without passing its entry; build it with updatable_cc_library"));
  }
  const auto copies = function.InlinedCopies();
  if (!copies.ok()) {
    return function.MayBeInlined() ? copies.status() : absl::OkStatus();
  }
  std::set<std::string> holders;
  // An inline function that only an update module has code of.
  bool is_inlined_everywhere = true;
  for (const InlinedCopy& copy : *copies) {
    if (copy.IsTraceless(function)) {
      return absl::FailedPreconditionError(absl::StrCat(
          function.name(),
          " cannot be redirected: it was inlined where no code of its own is "
          "left, since it is a constant or nothing; debug information does not "
          "tell where. Redirect its callers with it and ignore inlined copies, "
          "or keep it from being inlined"));
    }
    if (copy.into.image() == function.image()) is_inlined_everywhere = false;
    const bool redirected_too = std::any_of(
        batch.begin(), batch.end(), [&copy](const EntryRedirection& other) {
          return other.from == copy.into;
        });
    if (!redirected_too) holders.insert(copy.into.name());
  }
  if (holders.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(function.name(), " cannot be redirected: ",
                   is_inlined_everywhere
                       ? absl::StrCat("all calls of it but those in ",
                                      function.image(), " were inlined, into ")
                       : "it was inlined into ",
                   absl::StrJoin(holders, ", "),
                   "; redirect those with it, or keep it from being inlined"));
}

absl::Status CheckFolded(const Function& function) {
  INSTAR_ASSIGN_OR_RETURN(const std::vector<std::string> others,
                          FunctionsFoldedInto(function));
  if (others.empty()) return absl::OkStatus();
  std::vector<std::string> names;
  for (const std::string& other : others) {
    names.push_back(code_internal::Demangle(other));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      function.name(), " cannot be redirected: the linker made it one with ",
      absl::StrJoin(names, ", "),
      ", which has the same code, so that both would change; link without "
      "identical code folding (--icf)"));
}

// Keeps the image loaded until the process ends.
absl::Status KeepLoaded(const PatchableImage& image) {
  if (ImagePin(image.path, image.load_base).ForEver()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(image.path,
                   " cannot be kept loaded: it has been unloaded, or another "
                   "object of that name has been loaded"));
}

absl::Status CheckPlaces(const PatchableEntries& entries,
                         absl::Span<const AddressRedirection> redirections) {
  std::vector<std::string> without;
  for (const AddressRedirection& redirection : redirections) {
    if (!entries.Contains(redirection.from)) {
      const PatchableImage* const image = entries.ImageAt(redirection.from);
      without.push_back(absl::StrCat(redirection.name, " in ",
                                     image == nullptr      ? "no loaded image"
                                     : image->path.empty() ? "the program"
                                                           : image->path));
    }
  }
  if (!without.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        absl::StrJoin(without, ", "),
        without.size() == 1 ? " has no patchable entry"
                            : " have no patchable entries",
        "; compile it with instar-cc or instar-c++, or build it with "
        "updatable_cc_library (//tools:defs.bzl): its flag is "
        "-fpatchable-function-entry=5"));
  }
  for (const AddressRedirection& redirection : redirections) {
    if (entries.ImageAt(redirection.to) == nullptr) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "%s cannot be redirected to %#x, where no loaded image has code",
          redirection.name, redirection.to));
    }
  }
  return absl::OkStatus();
}

std::vector<AddressRedirection> ByAddress(
    absl::Span<const EntryRedirection> redirections) {
  std::vector<AddressRedirection> result;
  result.reserve(redirections.size());
  for (const EntryRedirection& redirection : redirections) {
    result.push_back(
        {redirection.from.entry(), redirection.to, redirection.from.name()});
  }
  return result;
}

}  // namespace

absl::StatusOr<Redirection> Redirection::Prepare(
    absl::Span<const EntryRedirection> redirections,
    RedirectionOptions options) {
  const std::vector<AddressRedirection> by_address = ByAddress(redirections);
  INSTAR_ASSIGN_OR_RETURN(auto entries, PatchableEntries::Current());
  INSTAR_RETURN_IF_ERROR(CheckPlaces(*entries, by_address));
  for (const EntryRedirection& redirection : redirections) {
    const Function& from = redirection.from;
    if (!options.ignore_inlined_copies) {
      INSTAR_RETURN_IF_ERROR(CheckFolded(from));
      INSTAR_RETURN_IF_ERROR(CheckInlinedCopies(from, redirections));
    }
    INSTAR_RETURN_IF_ERROR(KeepLoaded(*entries->ImageAt(redirection.to)));
    INSTAR_RETURN_IF_ERROR(KeepLoaded(*entries->ImageAt(from.entry())));
  }
  return Make(by_address);
}

absl::StatusOr<Redirection> Redirection::PrepareAt(
    absl::Span<const AddressRedirection> redirections) {
  INSTAR_ASSIGN_OR_RETURN(auto entries, PatchableEntries::Current());
  INSTAR_RETURN_IF_ERROR(CheckPlaces(*entries, redirections));
  for (const AddressRedirection& redirection : redirections) {
    if (redirection.from_may_go) continue;
    INSTAR_RETURN_IF_ERROR(KeepLoaded(*entries->ImageAt(redirection.from)));
  }
  return Make(redirections);
}

// Of images that stay loaded.
absl::StatusOr<Redirection> Redirection::Make(
    absl::Span<const AddressRedirection> redirections) {
  // What is kept loaded may have been loaded since.
  INSTAR_ASSIGN_OR_RETURN(const auto entries, PatchableEntries::Current());
  INSTAR_RETURN_IF_ERROR(CheckPlaces(*entries, redirections));

  auto state = std::make_unique<State>();
  state->items.reserve(redirections.size());
  state->changes.reserve(redirections.size());
  CodeLock lock;
  INSTAR_RETURN_IF_ERROR(code_internal::PrepareToWriteCode(lock));
  for (const AddressRedirection& redirection : redirections) {
    const uintptr_t entry = redirection.from;
    INSTAR_ASSIGN_OR_RETURN(
        const uintptr_t reach,
        ReachFrom(lock, *entries->ImageAt(entry), redirection.to));
    State::Item& item = state->items.emplace_back();
    item.record = code_internal::FindOrMakeEntryRecord(entry);
    item.name = redirection.name;
    item.layer = new RedirectionLayer{redirection.to, reach, nullptr};
    item.next = item.layer;
    item.past_target = std::make_unique<PastTarget>();
    *item.past_target = {redirection.to, nullptr};
  }
  std::sort(state->items.begin(), state->items.end(),
            [](const State::Item& a, const State::Item& b) {
              return a.record->entry < b.record->entry;
            });
  for (size_t i = 1; i < state->items.size(); ++i) {
    if (state->items[i - 1].record == state->items[i].record) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "the function at %#x is to be redirected twice in one batch",
          state->items[i].record->entry));
    }
  }
  INSTAR_RETURN_IF_ERROR(state->CheckForOthers(lock));
  INSTAR_RETURN_IF_ERROR(state->CheckForCircles(lock));
  return Redirection(std::move(state));
}

absl::Status Redirection::Apply(OtherThreads others) {
  INSTAR_CHECK(state_ != nullptr && !state_->applied)
      << "a redirection can be applied once";
  CodeLock lock;
  for (State::Item& item : state_->items) item.next = item.layer;
  // Again: others may have redirected functions since Prepare().
  INSTAR_RETURN_IF_ERROR(state_->CheckForCircles(lock));
  INSTAR_RETURN_IF_ERROR(state_->Write(lock, others));
  for (State::Item& item : state_->items) {
    item.layer->below = item.record->layers;
    item.record->layers = item.layer;
  }
  state_->RecordTargets(lock);
  state_->PublishTargets(lock);
  state_->applied = true;
  return absl::OkStatus();
}

absl::Status Redirection::Undo(OtherThreads others) {
  INSTAR_CHECK(state_ != nullptr && state_->applied)
      << "only an applied redirection can be undone";
  CodeLock lock;
  for (State::Item& item : state_->items) {
    item.next = item.record->layers == item.layer ? item.layer->below
                                                  : item.record->layers;
  }
  const absl::Status circles = state_->CheckForCircles(lock);
  if (!circles.ok()) {
    return ErrorWithText(absl::StatusCode::kFailedPrecondition, "%s",
                         TextOf(circles));
  }
  INSTAR_RETURN_IF_ERROR(state_->Write(lock, others));
  for (State::Item& item : state_->items) {
    RedirectionLayer** link = &item.record->layers;
    while (*link != item.layer) link = &(*link)->below;
    *link = item.layer->below;
    item.layer->below = nullptr;
  }
  state_->PublishTargets(lock);
  state_->applied = false;
  return absl::OkStatus();
}

bool Redirection::is_applied() const {
  return state_ != nullptr && state_->applied;
}

Redirection::Redirection(std::unique_ptr<State> state)
    : state_(std::move(state)) {}
Redirection::Redirection(Redirection&&) noexcept = default;
Redirection& Redirection::operator=(Redirection&&) noexcept = default;
Redirection::~Redirection() = default;

uintptr_t RedirectedTo(const Function& function) {
  CodeLock lock;
  const EntryRecord* const record =
      code_internal::FindEntryRecord(function.entry());
  return record == nullptr || record->layers == nullptr
             ? 0
             : record->layers->target;
}

namespace code_internal {

absl::StatusOr<Redirection> RedirectOne(const Function& from, uintptr_t to) {
  INSTAR_ASSIGN_OR_RETURN(Redirection redirection,
                          Redirection::Prepare({{from, to}}));
  INSTAR_RETURN_IF_ERROR(redirection.Apply());
  return redirection;
}

uintptr_t OriginalAddress(const absl::StatusOr<Function>& function) {
  INSTAR_CHECK(function.ok()) << function.status();
  const auto entries = PatchableEntries::Current();
  INSTAR_CHECK(entries.ok()) << entries.status();
  INSTAR_CHECK((*entries)->Contains(function->entry()))
      << function->name()
      << " has no patchable entry; build it with updatable_cc_library";
  return function->entry() + kEntrySize;
}

}  // namespace code_internal
}  // namespace instar
