// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/closed_in_child.h"

#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include "base/check.h"

namespace instar {
namespace manager_internal {
namespace {

struct List {
  std::mutex lock;  // held across fork()
  std::vector<OwnDescriptor*> descriptors;
};

// Never destroyed: a thread may outlive main().
List& TheList() {
  static List* const list = [] {
    const int error = pthread_atfork(
        [] { TheList().lock.lock(); }, [] { TheList().lock.unlock(); },
        [] {
          for (OwnDescriptor* d : TheList().descriptors) {
            d->Close();
          }
          TheList().descriptors.clear();
          TheList().lock.unlock();
        });
    INSTAR_CHECK(error == 0) << "pthread_atfork failed: " << error;
    return new List;
  }();
  return *list;
}

}  // namespace

ClosedInChild::ClosedInChild(OwnDescriptor* descriptor)
    : descriptor_(descriptor) {
  List& list = TheList();
  const std::lock_guard<std::mutex> lock(list.lock);
  list.descriptors.push_back(descriptor);
}

ClosedInChild::~ClosedInChild() {
  List& list = TheList();
  const std::lock_guard<std::mutex> lock(list.lock);
  const auto found =
      std::find(list.descriptors.begin(), list.descriptors.end(), descriptor_);
  // Not there in a child: it has been closed.
  if (found != list.descriptors.end()) list.descriptors.erase(found);
}

}  // namespace manager_internal
}  // namespace instar
