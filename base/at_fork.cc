// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/at_fork.h"

#include <pthread.h>

#include "base/check.h"

namespace instar {
namespace {

// All constant-initialized: handlers are set before main().
pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;  // held across fork()
ForkHandlers g_handlers[kForkOrders];                 // under g_mutex
bool g_is_registered;                                 // under g_mutex

void Prepare() {
  pthread_mutex_lock(&g_mutex);
  for (int i = 0; i < kForkOrders; ++i) {
    if (g_handlers[i].prepare != nullptr) g_handlers[i].prepare();
  }
}

void Parent() {
  for (int i = kForkOrders; i-- > 0;) {
    if (g_handlers[i].parent != nullptr) g_handlers[i].parent();
  }
  pthread_mutex_unlock(&g_mutex);
}

void Child() {
  for (int i = kForkOrders; i-- > 0;) {
    if (g_handlers[i].child != nullptr) g_handlers[i].child();
  }
  pthread_mutex_unlock(&g_mutex);
}

}  // namespace

void SetForkHandlers(ForkOrder place, const ForkHandlers& handlers) {
  pthread_mutex_lock(&g_mutex);
  if (!g_is_registered) {
    const int error = pthread_atfork(&Prepare, &Parent, &Child);
    INSTAR_CHECK(error == 0) << "pthread_atfork failed: " << error;
    g_is_registered = true;
  }
  g_handlers[static_cast<int>(place)] = handlers;
  pthread_mutex_unlock(&g_mutex);
}

}  // namespace instar
