// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Throws and catches, for tests and benchmarks of exceptions. Depends on
// nothing of Instar.

#ifndef INSTAR_STACK_TESTING_THROW_THROUGH_FRAMES_H_
#define INSTAR_STACK_TESTING_THROW_THROUGH_FRAMES_H_

#include <functional>

namespace instar {

// Throws an exception through `frames` frames, whose destructors call
// `in_destructor` if there is one, and catches it. Returns how many destructors
// ran.
int ThrowThroughFrames(int frames,
                       const std::function<void()>& in_destructor = nullptr);

// The time that one throw through 8 frames and its catch take, in nanoseconds:
// the mean of `count`.
double TimeThrows(int count);

}  // namespace instar

#endif  // INSTAR_STACK_TESTING_THROW_THROUGH_FRAMES_H_
