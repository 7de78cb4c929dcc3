// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/images/elf_notes.h"

#include <cstddef>
#include <string>

#include "gtest/gtest.h"

namespace instar {
namespace code_internal {
namespace {

TEST(ElfNotesTest, NotesThatAreCutOffHaveNoBuildId) {
  EXPECT_EQ(BuildIdIn(""), "");
  const std::string note("\4\0\0\0\4\0\0\0\3\0\0\0GNU\0abcd", 20);
  EXPECT_EQ(BuildIdIn(note), "abcd");
  for (size_t size = 0; size < note.size(); ++size) {
    EXPECT_EQ(BuildIdIn(note.substr(0, size)), "") << size;
  }
  std::string other = note;
  other[8] = 1;  // another type
  EXPECT_EQ(BuildIdIn(other + note), "abcd");
}

TEST(ElfNotesTest, InliningIsNotedAmongOthers) {
  const std::string build_id("\4\0\0\0\4\0\0\0\3\0\0\0GNU\0abcd", 20);
  std::string inlining("\7\0\0\0\0\0\0\0\1\0\0\0Instar\0\0", 20);
  EXPECT_TRUE(NotesInlining(build_id + inlining));
  EXPECT_FALSE(NotesInlining(build_id));
  EXPECT_EQ(BuildIdIn(inlining + build_id), "abcd");
  for (size_t size = 0; size < inlining.size(); ++size) {
    EXPECT_FALSE(NotesInlining(inlining.substr(0, size))) << size;
  }
  inlining[8] = 2;  // another type
  EXPECT_FALSE(NotesInlining(inlining));
}

}  // namespace
}  // namespace code_internal
}  // namespace instar
