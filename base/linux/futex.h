// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A word that threads of this process can wait on without a lock (futex(2)).
//
//   while (word.load(std::memory_order_acquire) == 0) FutexWait(&word, 0);
//   ...
//   word.store(1, std::memory_order_release);   // on another thread
//   FutexWakeAll(&word);
//
// The functions order nothing: the loads and stores of the word do.
// Threads: any. Async-signal-safe; allocates nothing; errno is kept.

#ifndef INSTAR_BASE_LINUX_FUTEX_H_
#define INSTAR_BASE_LINUX_FUTEX_H_

#include <atomic>
#include <chrono>
#include <cstdint>

namespace instar {

// Returns when *word is not `expected`, when it was woken, or spuriously. False
// if `limit`, where one is given, has passed.
bool FutexWait(std::atomic<std::uint32_t>* word, std::uint32_t expected,
               const std::chrono::steady_clock::time_point* limit = nullptr);

void FutexWakeAll(std::atomic<std::uint32_t>* word);

}  // namespace instar

#endif  // INSTAR_BASE_LINUX_FUTEX_H_
