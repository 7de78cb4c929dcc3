// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/redefinable.h"

#include <mutex>

namespace instar {
namespace code_internal {
namespace {

// Held for a few instructions, rarely: one serves all slots.
std::mutex& SlotMutex() {
  static auto& mutex = *new std::mutex();
  return mutex;
}

}  // namespace

void RedefinableSlot::Publish() {
  // Pairs with the load in current().
  current_.store(layers_ == nullptr ? original_ : layers_->target,
                 std::memory_order_release);
}

void RedefinableSlot::Push(SlotLayer* layer) {
  std::lock_guard<std::mutex> lock(SlotMutex());
  layer->below = layers_;
  layers_ = layer;
  Publish();
}

void RedefinableSlot::Remove(SlotLayer* layer) {
  std::lock_guard<std::mutex> lock(SlotMutex());
  SlotLayer** link = &layers_;
  while (*link != layer) link = &(*link)->below;
  *link = layer->below;
  Publish();
}

}  // namespace code_internal

void RedefinableRedirection::Apply() {
  INSTAR_CHECK(!is_applied_) << "a redirection can be applied once";
  slot_.Push(&layer_);
  is_applied_ = true;
}

void RedefinableRedirection::Undo() {
  INSTAR_CHECK(is_applied_) << "only an applied redirection can be undone";
  slot_.Remove(&layer_);
  is_applied_ = false;
}

}  // namespace instar
