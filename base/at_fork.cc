// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/at_fork.h"

#include <pthread.h>
#include <signal.h>

#include <new>

#include "base/check.h"
#include "base/library_code.h"
#include "base/linker_gate.h"

namespace instar {
namespace base_internal {
std::atomic<std::uint32_t> fork_generation{0};
}  // namespace base_internal

namespace {

// All constant-initialized: handlers are set before main().
pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;  // held across fork()
ForkHandlers g_handlers[kForkOrders];                 // under g_mutex
bool g_is_registered;                                 // under g_mutex
sigset_t g_mask;  // the forking thread's, while it owns g_mutex for a fork()

// As g_mask. Has no destructor that runs at exit.
alignas(LibraryCode) unsigned char g_library_code[sizeof(LibraryCode)];

// Nobody stops the thread while it owns all those locks, nor does a handler of
// the program run that needs one. Signals of its own errors stay as they are.
void Prepare() {
  sigset_t blocked, before;
  sigfillset(&blocked);
  for (const int signal :
       {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS}) {
    sigdelset(&blocked, signal);
  }
  pthread_sigmask(SIG_BLOCK, &blocked, &before);
  pthread_mutex_lock(&g_mutex);
  g_mask = before;
  ::new (static_cast<void*>(g_library_code)) LibraryCode;
  for (int i = 0; i < kForkOrders; ++i) {
    if (g_handlers[i].prepare != nullptr) g_handlers[i].prepare();
  }
  // Who waits at the gate may own one of those locks.
  base_internal::CloseLinkerGate();
}

void Release() {
  const sigset_t before = g_mask;
  std::launder(reinterpret_cast<LibraryCode*>(g_library_code))->~LibraryCode();
  pthread_mutex_unlock(&g_mutex);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Parent() {
  base_internal::OpenLinkerGate();
  for (int i = kForkOrders; i-- > 0;) {
    if (g_handlers[i].parent != nullptr) g_handlers[i].parent();
  }
  Release();
}

void Child() {
  base_internal::fork_generation.fetch_add(1, std::memory_order_relaxed);
  base_internal::OpenLinkerGateInChild();
  for (int i = kForkOrders; i-- > 0;) {
    if (g_handlers[i].child != nullptr) g_handlers[i].child();
  }
  Release();
}

// Under g_mutex.
void Register() {
  if (g_is_registered) return;
  const int error = pthread_atfork(&Prepare, &Parent, &Child);
  INSTAR_CHECK(error == 0) << "pthread_atfork failed: " << error;
  g_is_registered = true;
}

// Also where no place has handlers: fork()s are counted.
[[gnu::constructor]] void RegisterAtStart() {
  pthread_mutex_lock(&g_mutex);
  Register();
  pthread_mutex_unlock(&g_mutex);
}

}  // namespace

void SetForkHandlers(ForkOrder place, const ForkHandlers& handlers) {
  pthread_mutex_lock(&g_mutex);
  Register();
  g_handlers[static_cast<int>(place)] = handlers;
  pthread_mutex_unlock(&g_mutex);
}

}  // namespace instar
