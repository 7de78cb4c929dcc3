// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions compiled as updatable code is. Where functions have no entries, at
// which an active thread is met, those that call Step() again and again have an
// update point behind it.

#ifndef INSTAR_THREADS_TESTING_FUNCTIONS_FOR_TEST_H_
#define INSTAR_THREADS_TESTING_FUNCTIONS_FOR_TEST_H_

#include <atomic>
#include <functional>
#include <mutex>

namespace instar {
namespace threads_test {

// Returns n + 1.
int Step(int n);
// Calls Step() until `stop`.
void StepUntil(const std::atomic<bool>& stop);
// Calls Step() for ever.
void StepForEver();
// Calls `call`, and is on the stack meanwhile.
void CallThrough(const std::function<void()>& call);
// The same, and no exception may pass.
void CallThroughNoexcept(const std::function<void()>& call) noexcept;
// Calls Step() with `mutex` locked, until `stop`.
void StepInLock(std::mutex& mutex, const std::atomic<bool>& stop);

}  // namespace threads_test
}  // namespace instar

#endif  // INSTAR_THREADS_TESTING_FUNCTIONS_FOR_TEST_H_
