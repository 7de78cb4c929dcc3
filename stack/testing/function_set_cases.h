// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Updatable functions that call back while they are active, for the test of
// watched functions.

#ifndef INSTAR_STACK_TESTING_FUNCTION_SET_CASES_H_
#define INSTAR_STACK_TESTING_FUNCTION_SET_CASES_H_

#include <cstdint>
#include <functional>

namespace instar {
namespace stack_test {

using Callback = std::function<void()>;

// Each calls back once and returns its number.
int Version1(const Callback& callback);
int Version2(const Callback& callback);
int Version3(const Callback& callback);

// Calls Version1().
int CallsVersion1(const Callback& callback);

// Holds a copy of the function that starts at InlinedEntry().
int HoldsCopy(const Callback& callback);
uintptr_t InlinedEntry();

}  // namespace stack_test
}  // namespace instar

#endif  // INSTAR_STACK_TESTING_FUNCTION_SET_CASES_H_
