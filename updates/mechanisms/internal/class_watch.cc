// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/internal/class_watch.h"

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/fork_mutex.h"
#include "base/status_macros.h"
#include "code/symbols/find_functions.h"

namespace instar {
namespace updates_internal {
namespace {

using heap_internal::UpdatableClass;

// What has been looked up for all updates since the program got the code that
// it has, and since more became known of it. In a child nothing, if another
// thread was about it at the fork.
class LookedUp {
 public:
  using Types = std::vector<const std::type_info*>;

  // Null: it has not been; whoever looks it up adds it, with the number that
  // the code of now gets in `code`. Forgets what is old.
  WatchedSet Find(const Types& types, const ClassFunctionsOptions& options,
                  std::uint64_t* code) {
    if (!IsCurrent()) {
      sets_.clear();
      ++code_;
      // Before anything is looked up: what changes meanwhile is seen later.
      version_.emplace();
      copies_ = KnownInlinedCopies();
    }
    *code = code_;
    for (const Set& set : sets_) {
      if (set.ignores_unknown_copies == options.ignore_unknown_copies &&
          set.reads == options.read_debug_information && set.types == types) {
        return set.watched;
      }
    }
    return nullptr;
  }
  // Unless the code has changed since.
  void Add(std::uint64_t code, Types types,
           const ClassFunctionsOptions& options, const WatchedSet& watched) {
    if (code != code_ || !IsCurrent() || sets_.size() == kMost) return;
    sets_.push_back(Set{std::move(types), options.ignore_unknown_copies,
                        options.read_debug_information, watched});
  }

 private:
  static constexpr std::size_t kMost = 64;

  struct Set {
    Types types;
    bool ignores_unknown_copies;
    bool reads;
    WatchedSet watched;
  };

  bool IsCurrent() const {
    return version_.has_value() && version_->IsCurrent() &&
           copies_ == KnownInlinedCopies();
  }

  std::uint64_t code_ = 0;
  std::optional<CodeVersion> version_;
  std::uint64_t copies_ = 0;
  std::vector<Set> sets_;
};

ForkGuarded<LookedUp> g_looked_up;

absl::StatusOr<WatchedSet> LookUp(
    const std::vector<const std::type_info*>& types,
    const ClassFunctionsOptions& options) {
  const bool is_plain = options.leave_out.empty() && options.watch_also.empty();
  std::uint64_t code = 0;
  if (is_plain) {
    WatchedSet found = g_looked_up.Lock()->Find(types, options, &code);
    if (found != nullptr) return found;
  }
  INSTAR_ASSIGN_OR_RETURN(WatchedFunctions watched,
                          FunctionsOfTypes(types, options));
  auto made = std::make_shared<const WatchedFunctions>(std::move(watched));
  if (is_plain) g_looked_up.Lock()->Add(code, types, options, made);
  return made;
}

// Where nothing is remembered all functions are looked for.
ForkGuarded<absl::flat_hash_map<UpdatableClass*, std::shared_ptr<ClassWatch>>>
    g_watches;

}  // namespace

ClassWatch::ClassWatch(UpdatableClass* root, Types types,
                       ClassFunctionsOptions options)
    : root_(root), types_(std::move(types)), options_(std::move(options)) {}

absl::StatusOr<WatchedSet> ClassWatch::Get(bool thorough) {
  std::lock_guard<ForkMutex> lock(lock_);
  if (lock_.WasLostInFork()) {
    ::new (static_cast<void*>(&known_)) Known;
  }
  std::vector<const std::type_info*> types = types_();
  if (known_.watched != nullptr && (known_.is_thorough || !thorough) &&
      types == known_.looked_up && known_.version->IsCurrent()) {
    return known_.watched;
  }
  // Before anything is looked up: what changes meanwhile is seen the next time.
  known_.version.emplace();
  ClassFunctionsOptions options = options_;
  options.read_debug_information &= thorough;
  INSTAR_ASSIGN_OR_RETURN(known_.watched, LookUp(types, options));
  known_.looked_up = std::move(types);
  known_.is_thorough = thorough;
  return known_.watched;
}

void RememberWatch(const std::shared_ptr<ClassWatch>& watch) {
  (*g_watches.Lock())[watch->root()] = watch;
}

std::shared_ptr<ClassWatch> RememberedWatch(UpdatableClass* root) {
  const auto watches = g_watches.Lock();
  std::shared_ptr<ClassWatch>& watch = (*watches)[root];
  if (watch == nullptr) {
    watch = std::make_shared<ClassWatch>(
        root, [root] { return TypesOfVersions(root); },
        ClassFunctionsOptions());
  }
  return watch;
}

}  // namespace updates_internal
}  // namespace instar
