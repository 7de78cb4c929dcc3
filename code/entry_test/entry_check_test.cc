// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What somebody else does to function entries, written by the test itself as
// the kernel writes it for a uprobe: an int3 over the first byte when it is
// set, the first byte of the file when it is removed.

#include "code/entry_check.h"

#include <cstring>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "code/entry_interception.h"
#include "code/function_entry.h"
#include "code/internal/patchable_entries.h"
#include "code/internal/text_patch.h"
#include "code/symbols/function.h"
#include "code/updatable_functions_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using code_test::Answer;
using code_test::Answer2;
using code_test::Answer3;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr char kProbe = '\xCC';
constexpr char kFirstOfFile = '\x0F';
const std::string kNoOp("\x0F\x1F\x44\x00\x00", 5);
const std::string kProbed("\xCC\x1F\x44\x00\x00", 5);

uintptr_t Entry(int (*function)(int)) {
  return reinterpret_cast<uintptr_t>(function);
}

std::string BytesOf(int (*function)(int)) {
  return std::string(reinterpret_cast<const char*>(Entry(function)), 5);
}

void WriteFirst(int (*function)(int), char byte) {
  code_internal::CodeLock lock;
  ASSERT_TRUE(
      code_internal::WriteUnusedCode(lock, Entry(function), &byte, 1).ok());
}

class EntryCheckTest : public testing::Test {
 protected:
  EntryCheckTest() { EXPECT_TRUE(PatchableEntries::Current().ok()); }
  ~EntryCheckTest() override {
    EXPECT_THAT(CheckRedirectedEntries(), IsEmpty());
    EXPECT_EQ(BytesOf(&Answer), kNoOp);
    EXPECT_EQ(Answer(1), 101);
    EXPECT_EQ(Answer2(1), 201);
  }
};

TEST_F(EntryCheckTest, RedirectionOfAProbedFunctionIsRefusedByName) {
  WriteFirst(&Answer, kProbe);
  const absl::Status status = Redirect(&Answer, &Answer2).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("code_test::Answer(int)"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("somebody else"));
  EXPECT_EQ(BytesOf(&Answer), kProbed);
  WriteFirst(&Answer, kFirstOfFile);
}

TEST_F(EntryCheckTest, ProbeSetAfterPreparingIsRefusedAndStays) {
  auto redirection =
      Redirection::Prepare({{*Function::Of(&Answer), Entry(&Answer3)},
                            {*Function::Of(&Answer2), Entry(&Answer3)}});
  ASSERT_TRUE(redirection.ok());
  WriteFirst(&Answer2, kProbe);
  for (const OtherThreads others :
       {OtherThreads::kRunning, OtherThreads::kHeld}) {
    const absl::Status status = redirection->Apply(others);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("Answer2(int)"));
    EXPECT_EQ(Answer(1), 101);
    EXPECT_EQ(BytesOf(&Answer2), kProbed);
  }
  WriteFirst(&Answer2, kFirstOfFile);
}

TEST_F(EntryCheckTest, ProbeOnARedirectedFunctionIsFoundAndOutlived) {
  auto redirection = Redirect(&Answer, &Answer2);
  ASSERT_TRUE(redirection.ok()) << redirection.status();
  EXPECT_THAT(CheckRedirectedEntries(), IsEmpty());
  WriteFirst(&Answer, kProbe);
  const std::vector<ChangedEntry> changed = CheckRedirectedEntries();
  ASSERT_THAT(changed, SizeIs(1));
  EXPECT_EQ(changed[0].entry, Entry(&Answer));
  EXPECT_FALSE(changed[0].is_restored);
  EXPECT_THAT(changed[0].ToString(),
              StartsWith("instar::code_test::Answer(int) runs old code: its "
                         "entry was changed by somebody else"));
  EXPECT_EQ(BytesOf(&Answer), kProbed);
  EXPECT_THAT(CheckRedirectedEntries(), SizeIs(1)) << "it is still there";
  EXPECT_EQ(redirection->Undo().code(), absl::StatusCode::kFailedPrecondition);

  WriteFirst(&Answer, kFirstOfFile);
  EXPECT_EQ(Answer(1), 101) << "a whole no-op";
  const std::vector<ChangedEntry> gone = CheckRedirectedEntries();
  ASSERT_THAT(gone, SizeIs(1));
  EXPECT_TRUE(gone[0].is_restored) << gone[0].error;
  EXPECT_THAT(gone[0].ToString(), HasSubstr("ran old code for a while"));
  EXPECT_EQ(Answer(1), 201);
  EXPECT_TRUE(redirection->Undo().ok());
}

TEST_F(EntryCheckTest, ProbeThatCameAndWentBetweenChecksIsPutRight) {
  auto redirection = Redirect(&Answer, &Answer2);
  ASSERT_TRUE(redirection.ok()) << redirection.status();
  WriteFirst(&Answer, kFirstOfFile);  // and the rest of a jump
  const std::vector<ChangedEntry> changed = CheckRedirectedEntries();
  ASSERT_THAT(changed, SizeIs(1));
  EXPECT_TRUE(changed[0].is_restored) << changed[0].error;
  EXPECT_EQ(Answer(1), 201);
  EXPECT_TRUE(redirection->Undo().ok());
}

// Nobody needs to look before.
TEST_F(EntryCheckTest, ProbeThatCameAndWentIsInNobodysWay) {
  for (const OtherThreads others :
       {OtherThreads::kRunning, OtherThreads::kHeld}) {
    auto redirection = Redirect(&Answer, &Answer2);
    ASSERT_TRUE(redirection.ok()) << redirection.status();
    WriteFirst(&Answer, kFirstOfFile);  // and the rest of a jump
    auto next = Redirect(&Answer, &Answer3);
    ASSERT_TRUE(next.ok()) << next.status();
    EXPECT_EQ(Answer(1), Answer3(1));
    EXPECT_EQ(next->Undo(others), absl::OkStatus());
    WriteFirst(&Answer, kFirstOfFile);
    EXPECT_EQ(redirection->Undo(others), absl::OkStatus());
    EXPECT_EQ(BytesOf(&Answer), kNoOp);
    EXPECT_EQ(Answer(1), 101);
  }
}

TEST_F(EntryCheckTest, OtherFunctionsAreInterceptedBesidesAProbe) {
  WriteFirst(&Answer, kProbe);
  EXPECT_EQ(
      EntryInterception::WithLookup({*Function::Of(&Answer)}).status().code(),
      absl::StatusCode::kFailedPrecondition);
  int entered = 0;
  {
    const ScopedEntryInterceptor interceptor(
        [&entered](const InterceptedEntry&) { ++entered; });
    auto interception = EntryInterception::OfAll();
    ASSERT_TRUE(interception.ok()) << interception.status();
    EXPECT_EQ(BytesOf(&Answer), kProbed);
    Answer2(1);
    EXPECT_TRUE(interception->Stop().ok());
  }
  EXPECT_EQ(entered, 1);
  EXPECT_EQ(BytesOf(&Answer), kProbed);
  WriteFirst(&Answer, kFirstOfFile);
}

TEST_F(EntryCheckTest, InterceptionEndsThoughAProbeWasSetMeanwhile) {
  auto interception = EntryInterception::OfAll();
  ASSERT_TRUE(interception.ok()) << interception.status();
  const std::string armed = BytesOf(&Answer2);
  WriteFirst(&Answer, kProbe);
  EXPECT_TRUE(interception->Stop().ok());
  EXPECT_NE(BytesOf(&Answer2), armed);
  EXPECT_EQ(BytesOf(&Answer), kProbed);
  WriteFirst(&Answer, kFirstOfFile);
}

}  // namespace
}  // namespace instar
