// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program with a dl_iterate_phdr() of its own, which finds nothing.

#include "base/linux/loaded_objects.h"

#include <dlfcn.h>
#include <link.h>

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
extern "C" int dl_iterate_phdr(int (*)(dl_phdr_info*, size_t, void*), void*) {
  return 0;
}
#endif

namespace instar {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

int AddName(dl_phdr_info* info, size_t, void* names) {
  static_cast<std::vector<std::string>*>(names)->push_back(info->dlpi_name);
  return 0;
}

TEST(LoadedObjectsTest, AreAllThere) {
  std::vector<std::string> names;
  EXPECT_EQ(ForEachLoadedObject(&AddName, &names), 0);
  ASSERT_GT(names.size(), 2u);
  EXPECT_EQ(names.front(), "") << "the program";
  EXPECT_THAT(names, Contains(HasSubstr("libc.so")));
}

TEST(LoadedObjectsTest, VisitEndsWithWhatIsReturned) {
  int calls = 0;
  EXPECT_EQ(ForEachLoadedObject(
                [](dl_phdr_info*, size_t, void* calls) {
                  ++*static_cast<int*>(calls);
                  return 7;
                },
                &calls),
            7);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace instar
