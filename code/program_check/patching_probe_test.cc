// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/program_check/patching_probe.h"

#include <string>

#include "absl/status/status.h"
#include "code/internal/text_patch.h"
#include "code/program_check/patching_probe_functions.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using code_internal::ScopedTextPatchCalls;

std::string Bytes() {
  return std::string(
      reinterpret_cast<const char*>(&code_internal::PatchingProbe1), 5);
}

TEST(PatchingProbeTest, FindsThatPatchingWorksAndLeavesNoTrace) {
  const std::string before = Bytes();
  for (int i = 0; i < 3; ++i) {
    const absl::Status status = ProbePatching();
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(Bytes(), before);
  }
  EXPECT_EQ(code_internal::PatchingProbe1(), 1);
}

// As of a file that is something else than this process's memory.
ssize_t LoseJumps(int file, const void* bytes, size_t size, uintptr_t address) {
  const auto entry =
      reinterpret_cast<uintptr_t>(&code_internal::PatchingProbe1);
  if (address == entry) return static_cast<ssize_t>(size);
  return ScopedTextPatchCalls::Real().write_at(file, bytes, size, address);
}

TEST(PatchingProbeTest, SaysThatItDoesNotWork) {
  ASSERT_TRUE(ProbePatching().ok());
  const ScopedTextPatchCalls calls(
      {&LoseJumps, ScopedTextPatchCalls::Real().serialize});
  const absl::Status status = ProbePatching();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  EXPECT_EQ(code_internal::PatchingProbe1(), 1);
}

}  // namespace
}  // namespace instar
