// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions with frames of every shape, for tests of stack walks. Each calls
// the action that it is given.

#ifndef INSTAR_STACK_TESTING_WALK_CASES_H_
#define INSTAR_STACK_TESTING_WALK_CASES_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace instar {

using Action = std::function<void()>;

struct WalkCase {
  const char* name;
  void (*function)(const Action&);
  bool stays_on_stack;  // false: it is gone when the action runs
};

const std::vector<WalkCase>& WalkCases();

// Has a frame pointer.
void UnoptimizedFrame(const Action& action);

// Calls itself `depth` times, then the action; each call is a frame.
void Recurse(int depth, const Action& action);

// Calls the action from assembly that has no unwind information.
void CallWithoutUnwindInformation(const Action& action);
extern "C" void instar_without_unwind_information(void (*)(const void*),
                                                  const void*);

// Calls the action from assembly that claims that nobody called it.
void CallFromUnknownBase(const Action& action);

// Calls the action from a thunk that was called at the entry of
// instar_intercepted(), which has not begun: its unwind information passes over
// that function.
void CallFromEntryThunk(const Action& action);
extern "C" void instar_intercepted(void (*)(const void*), const void*);

// Copies bytes of a stack, redzones of sanitizers included.
void CopyStack(char* to, std::uintptr_t from, std::size_t size);

}  // namespace instar

#endif  // INSTAR_STACK_TESTING_WALK_CASES_H_
