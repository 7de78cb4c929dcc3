// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Exceptions of a program that is linked with Instar and with libunwind go
// through libgcc_s, as in any other program. libunwind has functions of the
// same names; were they found first, each exception would take many times as
// long.

#include <dlfcn.h>
#include <unwind.h>

#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stack/stack_snapshot.h"
#include "stack/stack_walker.h"
#include "stack/testing/throw_through_frames.h"
#include "stack/unwind_safety.h"

namespace instar {
namespace {

using testing::HasSubstr;

std::string ObjectOf(const void* address) {
  Dl_info info;
  return dladdr(address, &info) != 0 ? info.dli_fname : "none";
}

TEST(ExceptionRuntimeTest, LibunwindIsLoaded) {
  // Or the others would show nothing.
  unw_context_t context;
  ASSERT_EQ(unw_getcontext(&context), 0);
  void* const libunwind = dlopen("libunwind.so.8", RTLD_NOW | RTLD_NOLOAD);
  ASSERT_NE(libunwind, nullptr);
  EXPECT_NE(dlsym(libunwind, "_Unwind_RaiseException"), nullptr);
  dlclose(libunwind);
}

TEST(ExceptionRuntimeTest, LibgccIsFoundFirst) {
  for (const char* name :
       {"_Unwind_RaiseException", "_Unwind_Resume", "_Unwind_ForcedUnwind",
        "_Unwind_Backtrace", "_Unwind_GetIP"}) {
    void* const function = dlsym(RTLD_DEFAULT, name);
    ASSERT_NE(function, nullptr) << name;
    EXPECT_THAT(ObjectOf(function), HasSubstr("libgcc_s")) << name;
  }
}

TEST(ExceptionRuntimeTest, ThrowingThroughEightFramesRunsLibgcc) {
  // Who runs during an exception shows in the walk of a destructor's stack.
  std::string objects;
  EXPECT_EQ(ThrowThroughFrames(
                8,
                [&] {
                  WalkStack(SnapshotOfCaller(), [&](const Frame& frame) {
                    objects +=
                        ObjectOf(reinterpret_cast<const void*>(frame.pc)) +
                        "\n";
                    return true;
                  });
                }),
            8);
  EXPECT_THAT(objects, testing::Not(HasSubstr("libunwind")));
  const WalkResult here =
      WalkStack(SnapshotOfCaller(), [](const Frame&) { return true; });
  EXPECT_TRUE(here.complete()) << here.ToString();
  EXPECT_TRUE(CheckUnwindSafety(SnapshotOfCaller()).verdict !=
              UnwindSafety::Verdict::kUnknown);
}

}  // namespace
}  // namespace instar
