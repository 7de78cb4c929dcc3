// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "threads/idle_scope.h"

namespace instar {
namespace {

// The latest that has not ended, on this thread.
thread_local IdleScope* innermost = nullptr;

}  // namespace

bool IdleScope::Wake(const threads_internal::ThreadRecord&, void* wake) {
  (*static_cast<const std::function<void()>*>(wake))();
  return true;
}

void IdleScope::Link() {
  if (!region_.entered()) return;
  outer_ = innermost;
  innermost = this;
  is_linked_ = true;
}

IdleScope::~IdleScope() {
  if (!is_linked_) return;
  innermost = outer_;
  if (region_.entered()) region_.LeaveQuietly();
}

BusyScope::BusyScope() {
  if (innermost == nullptr || !innermost->region_.entered()) return;
  idle_ = innermost;
  idle_->region_.LeaveQuietly();
}

BusyScope::~BusyScope() {
  if (idle_ != nullptr) idle_->region_.EnterAgain();
}

}  // namespace instar
