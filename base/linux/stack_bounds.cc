// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/stack_bounds.h"

#include <pthread.h>

#include <cstddef>

namespace instar {

StackBounds AskForThreadStack() {
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return {};
  void* low = nullptr;
  std::size_t size = 0;
  const bool found = pthread_attr_getstack(&attributes, &low, &size) == 0;
  pthread_attr_destroy(&attributes);
  const auto start = reinterpret_cast<std::uintptr_t>(low);
  return found ? StackBounds{start, start + size} : StackBounds();
}

}  // namespace instar
