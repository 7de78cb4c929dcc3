// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "updates/class_watch.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/status_macros.h"

namespace instar {
namespace updates_internal {
namespace {

using heap_internal::UpdatableClass;

struct Remembered {
  std::mutex lock;
  absl::flat_hash_map<UpdatableClass*, std::shared_ptr<ClassWatch>> watches;

  static Remembered& Get() {
    static Remembered& all = *new Remembered;
    return all;
  }
};

}  // namespace

ClassWatch::ClassWatch(UpdatableClass* root, Types types,
                       ClassFunctionsOptions options)
    : root_(root), types_(std::move(types)), options_(std::move(options)) {}

absl::StatusOr<WatchedSet> ClassWatch::Get(bool thorough) {
  std::lock_guard<std::mutex> lock(lock_);
  std::vector<const std::type_info*> types = types_();
  if (watched_ != nullptr && (is_thorough_ || !thorough) &&
      types == looked_up_ && version_->IsCurrent()) {
    return watched_;
  }
  // Before anything is looked up: what changes meanwhile is seen the next time.
  version_.emplace();
  ClassFunctionsOptions options = options_;
  options.read_debug_information &= thorough;
  INSTAR_ASSIGN_OR_RETURN(WatchedFunctions watched,
                          FunctionsOfTypes(types, options));
  watched_ = std::make_shared<WatchedFunctions>(std::move(watched));
  looked_up_ = std::move(types);
  is_thorough_ = thorough;
  return watched_;
}

void RememberWatch(const std::shared_ptr<ClassWatch>& watch) {
  Remembered& all = Remembered::Get();
  std::lock_guard<std::mutex> lock(all.lock);
  all.watches[watch->root()] = watch;
}

std::shared_ptr<ClassWatch> RememberedWatch(UpdatableClass* root) {
  Remembered& all = Remembered::Get();
  std::lock_guard<std::mutex> lock(all.lock);
  std::shared_ptr<ClassWatch>& watch = all.watches[root];
  if (watch == nullptr) {
    watch = std::make_shared<ClassWatch>(
        root, [root] { return TypesOfVersions(root); },
        ClassFunctionsOptions());
  }
  return watch;
}

}  // namespace updates_internal
}  // namespace instar
