// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A shared object of which one unit has debug information, and another, which
// was not compiled to be updatable, has none and calls an inline function.

#include <dlfcn.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "code/function_entry.h"
#include "code/symbols/find_functions.h"
#include "code/symbols/function.h"
#include "code/symbols/inlining/tariff_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kObject[] = "code/symbols/inlining/tariff_object_that_calls.so";

// Whether the inline function could be redirected.
absl::Status RedirectRate() {
  const auto rate = Function::Of(tariff::RateItself());
  if (!rate.ok()) return rate.status();
  return Redirection::Prepare(
             {{*rate, reinterpret_cast<std::uintptr_t>(&tariff::NewRate)}})
      .status();
}

TEST(UndescribedObjectTest, IsRefusedByNameOnceItIsLoaded) {
  ASSERT_TRUE(RedirectRate().ok()) << RedirectRate();
  EXPECT_THAT(CodeOfUnknownCopies(), Not(HasSubstr(kObject)));
  void* const object = dlopen(kObject, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(object, nullptr) << dlerror();
  const absl::Status status = RedirectRate();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("tariff::Rate(int)"),
                    HasSubstr("tariff::TotalElsewhere(int) of "),
                    HasSubstr(kObject), HasSubstr("which uses it")));
  EXPECT_THAT(CodeOfUnknownCopies(),
              AllOf(HasSubstr(kObject), HasSubstr("TotalElsewhere"),
                    Not(HasSubstr("frame_dummy"))));
  EXPECT_EQ(dlclose(object), 0);
}

}  // namespace
}  // namespace instar
