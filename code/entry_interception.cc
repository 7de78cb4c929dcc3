// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/entry_interception.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "base/at_fork.h"
#include "base/check.h"
#include "base/linux/image_pin.h"
#include "base/status_macros.h"
#include "code/internal/entry_record.h"
#include "code/internal/entry_state.h"
#include "code/internal/entry_thunk.h"
#include "code/internal/interceptable_entries.h"
#include "code/internal/patchable_entries.h"
#include "code/internal/text_patch.h"

std::atomic<int> instar_loop_attention{0};

namespace instar {

using code_internal::CodeLock;
using code_internal::EntryChange;
using code_internal::EntryRecord;
using code_internal::EntryRecords;

struct EntryInterception::State {
  // Adds `step` (1 or -1) to the interceptions of each entry.
  absl::Status Change(const CodeLock& lock, int step, OtherThreads others);
  // Changes nothing if it fails. Allocates nothing.
  absl::Status Start(const CodeLock& lock, OtherThreads others);
  // From now on the thunk calls nobody on its behalf. The entries stay armed.
  void CallNobody(const CodeLock& lock) { CountCallees(lock, -1); }

  std::vector<EntryRecord*> records;  // by entry
  std::vector<EntryChange> changes;   // room for all of them
  std::vector<ImagePin> images;       // they stay loaded
  EntryGate gate = nullptr;
  bool calls_interceptors = false;
  bool is_of_all = false;
  bool alive = false;
  State* next = nullptr;  // of those that are alive

 private:
  void CountCallees(const CodeLock& lock, int step);
};

absl::Status EntryInterception::State::Change(const CodeLock& lock, int step,
                                              OtherThreads others) {
  changes.clear();
  for (EntryRecord* const record : records) {
    const bool was_armed = record->armed > 0;
    if (was_armed == (record->armed + step > 0)) continue;
    // Of an interception that ends: a probe was set on the armed entry. It
    // stays, and the function begins without a call of the thunk.
    if (code_internal::IsChangedBySomebodyElse(lock, *record)) {
      INSTAR_RETURN_IF_ERROR(
          code_internal::MakeSafeBehindBreakpoint(lock, *record));
      continue;
    }
    EntryChange& change = changes.emplace_back();
    change.record = record;
    change.single_byte_no_ops = code_internal::HasOneByteNoOps(*record);
    EncodeEntry(*record, record->armed + step, record->layers, change.bytes);
  }
  INSTAR_RETURN_IF_ERROR(code_internal::WriteEntries(lock, changes.data(),
                                                     changes.size(), others));
  for (EntryRecord* const record : records) record->armed += step;
  CountCallees(lock, step);
  return absl::OkStatus();
}

void EntryInterception::State::CountCallees(const CodeLock&, int step) {
  for (EntryRecord* const record : records) {
    // Pair with the loads in instar_entry_fast() and instar_entry_slow().
    if (calls_interceptors) {
      __atomic_store_n(&record->interceptions, record->interceptions + step,
                       __ATOMIC_RELAXED);
    }
    if (gate != nullptr) {
      record->gates += step;
      __atomic_store_n(&record->gate, record->gates > 0 ? gate : nullptr,
                       __ATOMIC_RELAXED);
    }
  }
}

class EntryInterceptionRegistry {
 public:
  using State = EntryInterception::State;

  static void Add(const CodeLock&, State* state) {
    state->alive = true;
    if (state->is_of_all) {
      instar_loop_attention.fetch_add(1, std::memory_order_relaxed);
    }
    state->next = first_;
    first_ = state;
  }

  static void Remove(const CodeLock&, State* state) {
    State** link = &first_;
    while (*link != state) link = &(*link)->next;
    *link = state->next;
    state->alive = false;
    if (state->is_of_all) {
      instar_loop_attention.fetch_sub(1, std::memory_order_relaxed);
    }
  }

  // Runs after that of text_patch.cc: the lock is free, and the file of the
  // parent's memory closed. A child that has changed its user or its root with
  // its parent cannot open its own: its entries stay as they are, and nobody is
  // called there.
  static void AfterForkInChild() {
    CodeLock lock;
    absl::Status restored;
    for (; first_ != nullptr; Remove(lock, first_)) {
      if (restored.ok()) {
        restored = first_->Change(lock, -1, OtherThreads::kHeld);
      }
      if (!restored.ok()) first_->CallNobody(lock);
    }
    if (!restored.ok()) {
      SayThatEntriesStay("in this child of fork(), though nobody is called",
                         restored);
    }
  }

  static void SayThatEntriesStay(absl::string_view where,
                                 const absl::Status& why) {
    const std::string message = absl::StrCat(
        "instar: functions stay intercepted ", where,
        ", since their entries cannot be restored: ", why.message(), "\n");
    // Not by stdio, whose buffer may hold output of the parent.
    [[maybe_unused]] const ssize_t written =
        write(STDERR_FILENO, message.data(), message.size());
  }

 private:
  static State* first_;
};

EntryInterceptionRegistry::State* EntryInterceptionRegistry::first_ = nullptr;

absl::Status EntryInterception::State::Start(const CodeLock& lock,
                                             OtherThreads others) {
  INSTAR_RETURN_IF_ERROR(Change(lock, 1, others));
  EntryInterceptionRegistry::Add(lock, this);
  return absl::OkStatus();
}

namespace {

[[gnu::constructor]] void RegisterForkHandler() {
  SetForkHandlers(ForkOrder::kEntries,
                  {nullptr, nullptr,
                   [] { EntryInterceptionRegistry::AfterForkInChild(); }});
}

}  // namespace

// Makes the records of the entries, and the state that covers them.
class EntryInterceptionBuilder {
 public:
  enum class Calls { kInterceptors, kGate, kNobody };

  explicit EntryInterceptionBuilder(Calls calls, EntryGate gate = nullptr)
      : state_(std::make_unique<EntryInterception::State>()) {
    state_->calls_interceptors = calls == Calls::kInterceptors;
    state_->gate = gate;
  }

  // The entries there are, once all images that have one, and are wanted, are
  // kept loaded.
  absl::StatusOr<std::shared_ptr<const PatchableEntries>> KeepLoaded(
      absl::FunctionRef<bool(const PatchableImage&)> is_wanted) {
    INSTAR_ASSIGN_OR_RETURN(const auto entries, PatchableEntries::Current());
    for (const PatchableImage& image : entries->images()) {
      if (image.entries.empty() || !is_wanted(image)) continue;
      ImagePin pin(image.path, image.load_base);
      if (pin.ok()) state_->images.push_back(std::move(pin));
    }
    // What is kept loaded may have been loaded since.
    return PatchableEntries::Current();
  }

  // All entries of the image that may be intercepted. Nothing if it is not kept
  // loaded: then it was loaded or unloaded just now.
  absl::Status AddAll(const PatchableImage& image) {
    state_->is_of_all = true;
    if (image.entries.empty() || !IsKept(image)) return absl::OkStatus();
    const auto records = code_internal::InterceptableRecords::Of(image);
    CodeLock lock;
    return AddRecords(lock, image, *records);
  }

  absl::Status Add(const PatchableEntries& entries, const Function& function) {
    if (!entries.Contains(function.entry())) {
      return absl::FailedPreconditionError(absl::StrCat(
          function.name(), " in ", function.image(),
          " has no patchable entry; compile it with instar-cc or instar-c++, "
          "or "
          "build it with updatable_cc_library (//tools:defs.bzl): its flag is "
          "-fpatchable-function-entry=5"));
    }
    const PatchableImage& image = *entries.ImageAt(function.entry());
    if (!IsKept(image)) {
      return absl::FailedPreconditionError(
          absl::StrCat(image.path, " cannot be kept loaded: it was loaded or ",
                       "unloaded just now"));
    }
    CodeLock lock;
    const EntryRecords records =
        code_internal::RecordsOf(lock, {function.entry()});
    if (code_internal::IsChangedBySomebodyElse(lock, *records.front())) {
      return code_internal::ChangedBySomebodyElse(*records.front(),
                                                  function.name());
    }
    return AddRecords(lock, image, records);
  }

  static absl::StatusOr<EntryInterception> Of(
      absl::Span<const Function> functions, Calls calls, EntryGate gate,
      OtherThreads others) {
    EntryInterceptionBuilder builder(calls, gate);
    INSTAR_ASSIGN_OR_RETURN(
        const auto entries, builder.KeepLoaded([&](const auto& image) {
          return std::any_of(functions.begin(), functions.end(),
                             [&](const Function& function) {
                               return image.begin <= function.entry() &&
                                      function.entry() < image.end;
                             });
        }));
    for (const Function& function : functions) {
      INSTAR_RETURN_IF_ERROR(builder.Add(*entries, function));
      if (calls != Calls::kInterceptors) continue;  // who may throw
      INSTAR_RETURN_IF_ERROR(code_internal::CheckMayThrow(function));
    }
    INSTAR_ASSIGN_OR_RETURN(auto state, builder.Finish());
    EntryInterception made(std::move(state));
    INSTAR_RETURN_IF_ERROR(made.Start(others));
    return made;
  }

  // What can be started.
  absl::StatusOr<std::unique_ptr<EntryInterception::State>> Finish() {
    auto& records = state_->records;
    const auto by_entry = [](const EntryRecord* a, const EntryRecord* b) {
      return a->entry < b->entry;
    };
    if (!std::is_sorted(records.begin(), records.end(), by_entry)) {
      std::sort(records.begin(), records.end(), by_entry);
    }
    records.erase(std::unique(records.begin(), records.end()), records.end());
    state_->changes.reserve(records.size());
    CodeLock lock;
    const auto is_changed = [&lock](const EntryRecord* record) {
      return code_internal::IsChangedBySomebodyElse(lock, *record);
    };
    if (state_->is_of_all) {
      // The entries that have no probe are enough to meet the threads.
      records.erase(std::remove_if(records.begin(), records.end(), is_changed),
                    records.end());
    } else if (const auto changed =
                   std::find_if(records.begin(), records.end(), is_changed);
               changed != records.end()) {
      return code_internal::ChangedBySomebodyElse(
          **changed, absl::StrFormat("the function at %#x", (*changed)->entry));
    }
    for (const EntryRecord* const record : records) {
      if (state_->gate != nullptr && record->gate != nullptr &&
          record->gate != state_->gate) {
        return absl::FailedPreconditionError(absl::StrFormat(
            "the function at %#x has another gate", record->entry));
      }
    }
    INSTAR_RETURN_IF_ERROR(code_internal::PrepareToWriteCode(lock));
    // Under the lock, for which fork() waits.
    static const bool prepared = (code_internal::PrepareThunk(), true);
    (void)prepared;
    return std::move(state_);
  }

 private:
  bool IsKept(const PatchableImage& image) const {
    return std::any_of(state_->images.begin(), state_->images.end(),
                       [&](const ImagePin& pin) {
                         return pin.IsOf(image.path, image.load_base);
                       });
  }

  absl::Status AddRecords(const CodeLock& lock, const PatchableImage& image,
                          const EntryRecords& records) {
    if (records.empty()) return absl::OkStatus();
    // Of single functions Finish() does that, once.
    if (state_->is_of_all) {
      INSTAR_RETURN_IF_ERROR(code_internal::PrepareToWriteCode(lock));
    }
    INSTAR_ASSIGN_OR_RETURN(const uintptr_t thunk,
                            ReachFrom(lock, image,
                                      reinterpret_cast<uintptr_t>(
                                          &code_internal::instar_entry_thunk)));
    for (EntryRecord* const record : records) record->thunk = thunk;
    state_->records.insert(state_->records.end(), records.begin(),
                           records.end());
    return absl::OkStatus();
  }

  std::unique_ptr<EntryInterception::State> state_;
};

using Calls = EntryInterceptionBuilder::Calls;

absl::StatusOr<EntryInterception> EntryInterception::OfAll(
    OtherThreads others) {
  INSTAR_ASSIGN_OR_RETURN(EntryInterception all, PrepareAll());
  INSTAR_RETURN_IF_ERROR(all.Start(others));
  return all;
}

absl::StatusOr<EntryInterception> EntryInterception::PrepareAll() {
  EntryInterceptionBuilder builder(Calls::kInterceptors);
  INSTAR_ASSIGN_OR_RETURN(const auto entries,
                          builder.KeepLoaded([](const auto&) { return true; }));
  code_internal::InterceptableRecords::Retain(*entries);
  for (const PatchableImage& image : entries->images()) {
    INSTAR_RETURN_IF_ERROR(builder.AddAll(image));
  }
  INSTAR_ASSIGN_OR_RETURN(auto state, builder.Finish());
  return EntryInterception(std::move(state));
}

absl::Status EntryInterception::Start(OtherThreads others) {
  CodeLock lock;
  if (state_ == nullptr || state_->alive) return absl::OkStatus();
  return state_->Start(lock, others);
}

absl::StatusOr<EntryInterception> EntryInterception::Of(
    absl::Span<const Function> functions, OtherThreads others) {
  return EntryInterceptionBuilder::Of(functions, Calls::kInterceptors, nullptr,
                                      others);
}

absl::StatusOr<EntryInterception> EntryInterception::WithGate(
    absl::Span<const Function> functions, EntryGate gate, OtherThreads others) {
  INSTAR_CHECK(gate != nullptr) << "a gate is needed";
  return EntryInterceptionBuilder::Of(functions, Calls::kGate, gate, others);
}

absl::StatusOr<EntryInterception> EntryInterception::WithLookup(
    absl::Span<const Function> functions, OtherThreads others) {
  return EntryInterceptionBuilder::Of(functions, Calls::kNobody, nullptr,
                                      others);
}

absl::Status EntryInterception::Preload() {
  EntryInterceptionBuilder builder(Calls::kInterceptors);
  INSTAR_ASSIGN_OR_RETURN(const auto entries,
                          builder.KeepLoaded([](const auto&) { return true; }));
  for (const PatchableImage& image : entries->images()) {
    INSTAR_RETURN_IF_ERROR(builder.AddAll(image));
  }
  return absl::OkStatus();
}

absl::Status EntryInterception::Stop(OtherThreads others) {
  CodeLock lock;
  if (state_ == nullptr || !state_->alive) return absl::OkStatus();
  INSTAR_RETURN_IF_ERROR(state_->Change(lock, -1, others));
  EntryInterceptionRegistry::Remove(lock, state_.get());
  return absl::OkStatus();
}

size_t EntryInterception::size() const {
  return state_ == nullptr ? 0 : state_->records.size();
}

EntryInterception::EntryInterception(std::unique_ptr<State> state)
    : state_(std::move(state)) {}

EntryInterception::EntryInterception(EntryInterception&&) noexcept = default;

EntryInterception& EntryInterception::operator=(
    EntryInterception&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

EntryInterception::~EntryInterception() {
  const absl::Status status = Stop();
  if (status.ok()) return;
  EntryInterceptionRegistry::SayThatEntriesStay("in this process", status);
  // Still in the registry, for fork(), and its records stay armed.
  state_.release();
}

}  // namespace instar
