// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/redefinable.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "base/linux/blocked_signals.h"

namespace instar {
namespace code_internal {
namespace {

// Held for a few instructions, rarely: one serves all slots. Whoever stops
// threads by signals, and redefines then, finds it free.
class SlotLock {
 public:
  SlotLock() : lock_(Mutex()) {}

 private:
  static std::mutex& Mutex() {
    static auto& mutex = *new std::mutex();
    return mutex;
  }

  const BlockedSignals blocked_;
  const std::lock_guard<std::mutex> lock_;
};

}  // namespace

void RedefinableSlot::Publish() {
  // Pairs with the load in current().
  current_.store(layers_ == nullptr ? original_ : layers_->target,
                 std::memory_order_release);
}

RedefinableSlot::~RedefinableSlot() {
  while (past_targets_ != nullptr) {
    delete std::exchange(past_targets_, past_targets_->next);
  }
}

void RedefinableSlot::Push(SlotLayer* layer,
                           std::unique_ptr<PastSlotTarget>& past) {
  const SlotLock lock;
  const PastSlotTarget* known = past_targets_;
  while (known != nullptr && known->target != layer->target) {
    known = known->next;
  }
  if (known == nullptr) {
    past->next = past_targets_;
    past_targets_ = past.release();
  }
  layer->below = layers_;
  layers_ = layer;
  Publish();
}

void RedefinableSlot::Remove(SlotLayer* layer) {
  const SlotLock lock;
  SlotLayer** link = &layers_;
  while (*link != layer) link = &(*link)->below;
  *link = layer->below;
  Publish();
}

std::vector<AnyFunction> RedefinableSlot::AllTargets() const {
  std::vector<AnyFunction> targets = {original_};
  const SlotLock lock;
  for (const PastSlotTarget* past = past_targets_; past != nullptr;
       past = past->next) {
    if (past->target != original_) targets.push_back(past->target);
  }
  return targets;
}

}  // namespace code_internal

void RedefinableRedirection::Apply() {
  INSTAR_CHECK(!is_applied_) << "a redirection can be applied once";
  slot_.Push(&layer_, past_target_);
  is_applied_ = true;
}

void RedefinableRedirection::Undo() {
  INSTAR_CHECK(is_applied_) << "only an applied redirection can be undone";
  slot_.Remove(&layer_);
  is_applied_ = false;
}

std::vector<uintptr_t> RedefinableRedirection::AllTargets() const {
  std::vector<code_internal::AnyFunction> targets = slot_.AllTargets();
  if (std::find(targets.begin(), targets.end(), layer_.target) ==
      targets.end()) {
    targets.push_back(layer_.target);
  }
  std::vector<uintptr_t> addresses;
  for (const code_internal::AnyFunction target : targets) {
    addresses.push_back(reinterpret_cast<uintptr_t>(target));
  }
  return addresses;
}

}  // namespace instar
