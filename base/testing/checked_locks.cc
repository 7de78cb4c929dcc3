// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// The locks of pthreads and Abseil: end the program when code of an update's
// author takes one while threads are held (base/testing/checked_world.h).

#include <dlfcn.h>
#include <pthread.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>

#include "absl/synchronization/mutex.h"
#include "base/no_allocation.h"
#include "base/testing/checked_world.h"

namespace instar {
namespace {

void Check(const char* what, const void* lock) {
  const char* const part = AuthorsPart::Running();
  if (part == nullptr) return;
  const AuthorsPart nothing(nullptr);  // what follows may lock
  char message[300];
  std::snprintf(message, sizeof(message),
                "%s takes a lock of the program while this thread holds "
                "others, which may own it: %s(%p)",
                part[0] == '\0' ? "code of an update" : part, what, lock);
  EndUnchecked(message);
}

// Of this name, in what is loaded behind the program. No static variable with a
// guard, which may lock.
template <typename F>
F* Next(const char* name, F** known) {
  F* next = __atomic_load_n(known, __ATOMIC_RELAXED);
  if (next == nullptr) {
    next = reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
    if (next == nullptr) {
      std::fprintf(stderr, "instar: there is no %s()\n", name);
      std::abort();
    }
    __atomic_store_n(known, next, __ATOMIC_RELAXED);
  }
  return next;
}

// A member function of that library by the address of the one here.
template <typename F>
F* NextOf(void* here, F** known) {
  F* const next = __atomic_load_n(known, __ATOMIC_RELAXED);
  if (next != nullptr) return next;
  Dl_info info;
  if (dladdr(here, &info) == 0 || info.dli_sname == nullptr) std::abort();
  return Next(info.dli_sname, known);
}

}  // namespace
}  // namespace instar

#define INSTAR_CHECKED_LOCK(name, parameters, arguments) \
  int name parameters noexcept {                         \
    static decltype(::name)* next = nullptr;             \
    instar::Check(#name, lock);                          \
    return instar::Next(#name, &next) arguments;         \
  }

extern "C" {

INSTAR_CHECKED_LOCK(pthread_mutex_lock, (pthread_mutex_t * lock), (lock))
INSTAR_CHECKED_LOCK(pthread_mutex_timedlock,
                    (pthread_mutex_t * lock, const timespec* until),
                    (lock, until))
INSTAR_CHECKED_LOCK(pthread_mutex_clocklock,
                    (pthread_mutex_t * lock, clockid_t clock,
                     const timespec* until),
                    (lock, clock, until))
INSTAR_CHECKED_LOCK(pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock))
INSTAR_CHECKED_LOCK(pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock))

}  // extern "C"

// Weak: where Abseil is linked as an archive, its own come first.
namespace absl {
ABSL_NAMESPACE_BEGIN

[[gnu::weak]] void Mutex::Lock() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  static void (*next)(Mutex*) = nullptr;
  instar::Check("absl::Mutex::Lock", this);
  void (Mutex::*const here)() = &Mutex::Lock;
  instar::NextOf(*reinterpret_cast<void* const*>(&here), &next)(this);
}

[[gnu::weak]] void Mutex::ReaderLock() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  static void (*next)(Mutex*) = nullptr;
  instar::Check("absl::Mutex::ReaderLock", this);
  void (Mutex::*const here)() = &Mutex::ReaderLock;
  instar::NextOf(*reinterpret_cast<void* const*>(&here), &next)(this);
}

ABSL_NAMESPACE_END
}  // namespace absl
