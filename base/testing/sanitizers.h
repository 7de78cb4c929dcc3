// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Tests that a sanitizer cannot run, one by one: the others of their file do
// run under it.
//
//   TEST(StopTest, AThreadThatRuns) {
//     INSTAR_SKIP_UNDER_TSAN(kSignalsComeLate);
//     ...

#ifndef INSTAR_BASE_TESTING_SANITIZERS_H_
#define INSTAR_BASE_TESTING_SANITIZERS_H_

#include "gtest/gtest.h"

namespace instar {

inline constexpr char kSignalsComeLate[] =
    "ThreadSanitizer delivers a signal at the next call that it intercepts, on "
    "a stack of its own making: a thread that runs is not stopped by one";

inline constexpr char kCallsBetweenLandingPads[] =
    "sanitizers put calls between the entries of a function's exception table: "
    "a reboot out of it is answered by 'not yet'";

inline constexpr char kExitsOnNoFiber[] =
    "ThreadSanitizer aborts when pthread_exit() is called on a fiber";

inline constexpr char kFibersUntold[] =
    "ThreadSanitizer is not told of these fibers";

inline constexpr char kComparedByTsan[] =
    "ThreadSanitizer calls what qsort() compares with from a frame of its own, "
    "through which no exception may pass";

inline constexpr char kNoThreadsInAChild[] =
    "ThreadSanitizer ends a child of fork() that starts a thread";

}  // namespace instar

#if defined(__SANITIZE_THREAD__)
#define INSTAR_SKIP_UNDER_TSAN(reason) GTEST_SKIP() << (reason)
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define INSTAR_SKIP_UNDER_TSAN(reason) GTEST_SKIP() << (reason)
#endif
#endif
#ifndef INSTAR_SKIP_UNDER_TSAN
#define INSTAR_SKIP_UNDER_TSAN(reason) static_cast<void>(reason)
#endif

#endif  // INSTAR_BASE_TESTING_SANITIZERS_H_
