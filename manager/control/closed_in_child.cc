// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/control/closed_in_child.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "base/at_fork.h"
#include "base/small_mutex.h"

namespace instar {
namespace manager_internal {
namespace {

SmallMutex g_lock;

// Under g_lock. Never destroyed: a thread may outlive main().
std::vector<OwnDescriptor*>& Descriptors() {
  static auto& descriptors = *new std::vector<OwnDescriptor*>;
  return descriptors;
}

[[gnu::constructor]] void RegisterForkHandlers() {
  SetForkHandlers(ForkOrder::kDescriptors,
                  {[] { g_lock.lock(); }, [] { g_lock.unlock(); },
                   [] {
                     for (OwnDescriptor* d : Descriptors()) d->Close();
                     Descriptors().clear();
                     g_lock.unlock();
                   }});
}

}  // namespace

ClosedInChild::ClosedInChild(OwnDescriptor* descriptor)
    : descriptor_(descriptor) {
  const std::lock_guard<SmallMutex> lock(g_lock);
  Descriptors().push_back(descriptor);
}

ClosedInChild::~ClosedInChild() {
  const std::lock_guard<SmallMutex> lock(g_lock);
  auto& descriptors = Descriptors();
  const auto found =
      std::find(descriptors.begin(), descriptors.end(), descriptor_);
  // Not there in a child: it has been closed.
  if (found != descriptors.end()) descriptors.erase(found);
}

}  // namespace manager_internal
}  // namespace instar
