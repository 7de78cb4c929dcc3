// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// A program with a dl_iterate_phdr() of its own, which knows of nothing that is
// loaded: its functions are found and redirected all the same.

#include <link.h>

#include "absl/status/status.h"
#include "code/function_entry.h"
#include "code/program_check/patching_probe.h"
#include "code/updatable_functions_for_test.h"
#include "gtest/gtest.h"

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
extern "C" int dl_iterate_phdr(int (*)(dl_phdr_info*, size_t, void*), void*) {
  return 0;
}
#endif

namespace instar {
namespace {

using code_test::Answer;
using code_test::Answer2;

TEST(OwnDlIteratePhdrTest, FunctionsAreRedirected) {
  const absl::Status patching = ProbePatching();
  EXPECT_TRUE(patching.ok()) << patching;
  auto redirection = Redirect(&Answer, &Answer2);
  ASSERT_TRUE(redirection.ok()) << redirection.status();
  EXPECT_EQ(Answer(1), 201);
  EXPECT_TRUE(redirection->Undo().ok());
  EXPECT_EQ(Answer(1), 101);
}

}  // namespace
}  // namespace instar
