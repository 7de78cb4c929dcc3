// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/mechanisms/internal/class_watch.h"

#include <mutex>
#include <new>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/fork_mutex.h"
#include "base/status_macros.h"

namespace instar {
namespace updates_internal {
namespace {

using heap_internal::UpdatableClass;

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
  INSTAR_ASSIGN_OR_RETURN(WatchedFunctions watched,
                          FunctionsOfTypes(types, options));
  known_.watched = std::make_shared<WatchedFunctions>(std::move(watched));
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
