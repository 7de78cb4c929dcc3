// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// EntryInterception::WithLookup(): redirections that change no code.

#include <atomic>
#include <utility>

#include "absl/status/status.h"
#include "base/testing/hammer.h"
#include "code/entry_interception.h"
#include "code/function_entry.h"
#include "code/internal/text_patch.h"
#include "code/symbols/function.h"
#include "code/updatable_functions_for_test.h"
#include "gtest/gtest.h"

namespace instar {
namespace {

using namespace code_test;  // NOLINT: the functions under test
using code_internal::ScopedTextPatchCalls;

std::atomic<int> writes{0};

ssize_t CountWrite(int file, const void* bytes, size_t size,
                   uintptr_t address) {
  ++writes;
  return ScopedTextPatchCalls::Real().write_at(file, bytes, size, address);
}

Redirection ToAnswer2() {
  return *Redirection::Prepare(
      {{*Function::Of(&Answer), reinterpret_cast<uintptr_t>(&Answer2)}});
}

EntryInterception WithLookup() {
  auto interception = EntryInterception::WithLookup({*Function::Of(&Answer)});
  EXPECT_TRUE(interception.ok()) << interception.status();
  return *std::move(interception);
}

TEST(EntryLookUpTest, NobodyIsCalled) {
  int called = 0;
  ScopedEntryInterceptor interceptor(
      [&](const InterceptedEntry&) { ++called; });
  const EntryInterception look_up = WithLookup();
  EXPECT_EQ(look_up.size(), 1u);
  EXPECT_EQ(Answer(1), 101);
  EXPECT_EQ(called, 0);
  {
    const EntryInterception all = *EntryInterception::OfAll();
    EXPECT_EQ(Answer(1), 101);
    EXPECT_EQ(called, 1);
  }
  EXPECT_EQ(Answer(1), 101);
  EXPECT_EQ(called, 1);
}

TEST(EntryLookUpTest, RedirectionsChangeNoCode) {
  ScopedTextPatchCalls counted(
      {&CountWrite, ScopedTextPatchCalls::Real().serialize});
  Redirection redirection = ToAnswer2();
  {
    const EntryInterception look_up = WithLookup();
    const int before = writes;
    ASSERT_TRUE(redirection.Apply().ok());
    EXPECT_EQ(Answer(1), 201);
    ASSERT_TRUE(redirection.Undo().ok());
    EXPECT_EQ(Answer(1), 101);
    ASSERT_TRUE(redirection.Apply().ok());
    EXPECT_EQ(writes, before);
  }
  EXPECT_EQ(Answer(1), 201);  // by the code now
  const int before = writes;
  ASSERT_TRUE(redirection.Undo().ok());
  EXPECT_GT(writes, before);
  EXPECT_EQ(Answer(1), 101);
}

TEST(EntryLookUpTest, UnderLoad) {
  Hammer hammer(1, [] {
    const int answer = Answer(1);
    EXPECT_TRUE(answer == 101 || answer == 201) << answer;
  });
  Redirection redirection = ToAnswer2();
  for (int i = 0; i < 200; ++i) {
    const long seen = hammer.calls();
    {
      const EntryInterception look_up = WithLookup();
      ASSERT_TRUE(redirection.Apply().ok());
      EXPECT_EQ(Answer(1), 201);
    }
    EXPECT_EQ(Answer(1), 201);
    {
      const EntryInterception look_up = WithLookup();
      ASSERT_TRUE(redirection.Undo().ok());
    }
    EXPECT_EQ(Answer(1), 101);
    while (hammer.calls() == seen) std::this_thread::yield();
  }
}

}  // namespace
}  // namespace instar
