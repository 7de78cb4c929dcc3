// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/dwarf/object_debug_info.h"

#include <dwarf.h>

#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "base/testing/file_contents.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/differ/dwarf/compile_for_test.h"

namespace instar {
namespace differ {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kSource[] = R"(
  int price = 3;
  __attribute__((cold)) void Complain(int);
  int Sell(int count) {
    if (__builtin_expect(count < 0, 0)) {
      Complain(count);
      Complain(count + 1);
    }
    return count * price;
  }
  int Buy(int count) { return -Sell(count); })";

class ObjectDebugInfoTest : public ::testing::TestWithParam<const char*> {};

TEST_P(ObjectDebugInfoTest, AnAddressIsASectionAndAnOffset) {
  for (const char* suffix : {".c", ".cc"}) {
    const CompiledObject object(kSource, suffix, GetParam());
    ASSERT_TRUE(object.status().ok()) << object.status();
    EXPECT_TRUE(object->describes_types());
    int found = 0;
    const DieTree& dies = object->dies();
    for (DieIndex i = 0; i < dies.size(); ++i) {
      if (dies[i].tag != DW_TAG_subprogram || dies[i].is_declaration) continue;
      const auto code = object->CodeOf(i);
      if (code.empty()) continue;
      const auto names = object->FunctionsAt(code.front().begin);
      ASSERT_EQ(names.size(), 1u);
      EXPECT_THAT(std::string(names.front()), HasSubstr(dies.NameOf(i)));
      EXPECT_EQ(object.file().sections()[code.front().begin.section].name,
                ".text." + std::string(names.front()));
      EXPECT_GT(code.front().size, 0u);
      EXPECT_EQ(dies.ConstantOf(i, DW_AT_decl_line),
                dies.NameOf(i) == std::string("Sell") ? 4u : 11u);
      EXPECT_THAT(object->DeclaredIn(dies.RootOf(i)), HasSubstr("compiled_"));
      ++found;
    }
    EXPECT_EQ(found, 2);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Flags, ObjectDebugInfoTest,
    ::testing::Values("-O0 -g", "-O2 -g", "-O2 -gdwarf-4", "-O0 -gdwarf-4",
                      "-O2 -g -gz", "-O2 -g3 -gz=zlib-gnu",
                      "-O2 -g -fno-function-sections -ffunction-sections"));

TEST(DieTreeTest, IsWalkedAlongSiblingsAndOverAllThatIsNested) {
  const CompiledObject object(
      "namespace a { struct S { int x; int y; }; struct T { S s; }; }\n"
      "a::T t;",
      ".cc", "-g");
  ASSERT_TRUE(object.status().ok()) << object.status();
  const DieTree& dies = object->dies();
  DieIndex space = kNoDie;
  for (const DieIndex die : dies.ChildrenOf(dies.units().front())) {
    if (dies[die].tag == DW_TAG_namespace) space = die;
  }
  ASSERT_NE(space, kNoDie);
  std::string names;
  for (const DieIndex type : dies.ChildrenOf(space)) {
    names += dies[type].name;
    for (const DieIndex member : dies.ChildrenOf(type)) {
      names += dies[member].name;
    }
  }
  EXPECT_EQ(names, "SxyTs");
  EXPECT_EQ(dies.EndOf(space), dies[space].next);
  EXPECT_EQ(dies.EndOf(dies.units().front()), dies.size());
  EXPECT_EQ(dies.UnitOf(space), dies.units().front());
}

TEST(UnreadableDebugInfoTest, IsRefusedByNameWithTheRemedy) {
  struct Case {
    const char* flags;
    absl::StatusCode code;
    const char* remedy;
  };
  for (const Case& refused :
       {Case{"-g0", absl::StatusCode::kNotFound, "compile with -g"},
        Case{"-g -gsplit-dwarf", absl::StatusCode::kFailedPrecondition,
             "compile without -gsplit-dwarf"},
        Case{"-gdwarf-4 -gsplit-dwarf", absl::StatusCode::kFailedPrecondition,
             "compile without -gsplit-dwarf"},
        Case{"-g -fdebug-types-section", absl::StatusCode::kFailedPrecondition,
             "compile without -fdebug-types-section"},
        Case{"-gdwarf-4 -fdebug-types-section",
             absl::StatusCode::kFailedPrecondition,
             "compile without -fdebug-types-section"},
        Case{"-g -flto", absl::StatusCode::kFailedPrecondition,
             "compile without -flto"}}) {
    const CompiledObject object("struct S { int a; } s;", ".cc", refused.flags);
    EXPECT_EQ(object.status().code(), refused.code) << object.status();
    EXPECT_THAT(std::string(object.status().message()),
                AllOf(HasSubstr("compiled_"), HasSubstr(refused.remedy)))
        << refused.flags;
  }
}

TEST(UnreadableDebugInfoTest, IsToldApartFromTheOneWithoutTypes) {
  for (const char* flags : {"-g1", "-O2 -g -g1"}) {
    const CompiledObject object(kSource, ".c", flags);
    ASSERT_TRUE(object.status().ok()) << object.status();
    EXPECT_FALSE(object->describes_types()) << flags;
  }
}

// Whatever byte of it is damaged: an error or a description, never a crash.
TEST(UnreadableDebugInfoTest, DamageIsAnError) {
  const auto path = CompileForTest(kSource, ".c", "-g");
  ASSERT_TRUE(path.ok()) << path.status();
  const std::string whole = FileContents(*path);
  const CompiledObject object(*path);
  ASSERT_TRUE(object.status().ok());
  int refused = 0;
  for (const char* name :
       {".debug_info", ".debug_abbrev", ".rela.debug_info"}) {
    const Section* const section = object.file().FindSection(name);
    ASSERT_NE(section, nullptr);
    const std::size_t begin =
        section->bytes.data() - object.file().bytes().data();
    for (std::size_t i = 0; i < section->bytes.size(); i += 3) {
      std::string damaged = whole;
      damaged[begin + i] = static_cast<char>(damaged[begin + i] ^ 0x55);
      const std::string damaged_path = *path + ".damaged";
      std::ofstream(damaged_path, std::ios::binary) << damaged;
      const CompiledObject read(damaged_path);
      if (!read.status().ok()) ++refused;
    }
  }
  EXPECT_GT(refused, 0);
}

TEST(UnreadableDebugInfoTest, WhatIsAnInstanceOfItselfIsDamaged) {
  const CompiledObject object(R"(
    .section .debug_abbrev, "", @progbits
    .uleb128 1, 0x11             # DW_TAG_compile_unit
    .byte 1                      # which has children
    .uleb128 0x13, 0x0b          # DW_AT_language, DW_FORM_data1
    .uleb128 0, 0
    .uleb128 2, 0x2e             # DW_TAG_subprogram
    .byte 0
    .uleb128 0x31, 0x13          # DW_AT_abstract_origin, DW_FORM_ref4
    .uleb128 0, 0
    .byte 0
    .section .debug_info, "", @progbits
  unit:
    .long end - begin
  begin:
    .short 5
    .byte 1, 8                   # DW_UT_compile, bytes of an address
    .long 0                      # the abbreviations
    .uleb128 1
    .byte 0x1d                   # DW_LANG_C11
  function:
    .uleb128 2
    .long function - unit
    .byte 0
  end:
  )",
                              ".s", "");
  EXPECT_EQ(object.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(object.status().message()),
              HasSubstr("an instance of itself"))
      << object.status();
}

}  // namespace
}  // namespace differ
}  // namespace instar
