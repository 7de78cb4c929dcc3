// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Runs a test once more with each allocator that is installed, set so that
// memory goes back to the system at once, and one lock serves all.
//
//   TEST(Inside, Allocates) {
//     if (!RunsWithAllocator()) GTEST_SKIP() << "run by the other test";
//     ...
//   }
//   class AllocatorTest : public testing::TestWithParam<TestAllocator> {};
//   TEST_P(AllocatorTest, DoesNotStandStill) {
//     if (RunsWithAllocator()) GTEST_SKIP() << "run by the other test";
//     std::string why;
//     switch (RunWithAllocator(GetParam(), "Inside.*", &why)) ...
//   }

#ifndef INSTAR_BASE_TESTING_ALLOCATORS_H_
#define INSTAR_BASE_TESTING_ALLOCATORS_H_

#include <string>
#include <utility>
#include <vector>

namespace instar {

struct TestAllocator {
  std::string name;
  std::string library;  // how its file name begins; empty: that of libc
  std::vector<std::pair<std::string, std::string>> settings;
};

std::vector<TestAllocator> AllocatorsForTest();

// Whether this process is one of those.
bool RunsWithAllocator();

enum class RunOutcome { kPassed, kFailed, kNotInstalled };

// One that stands still is ended after 45 s and has failed.
RunOutcome RunWithAllocator(const TestAllocator& allocator,
                            const std::string& filter, std::string* why);

// All that an allocator does with its locks held, in all forms of operator new
// and delete.
void AllocateInAllWays(unsigned seed);
// What goes back to the system at once, by the forms of operator delete that
// are told the size.
void AllocateLarge();

}  // namespace instar

#endif  // INSTAR_BASE_TESTING_ALLOCATORS_H_
