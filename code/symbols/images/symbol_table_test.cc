// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Symbols of every shape, written in assembly: no compiler makes the same ones
// every time.

#include "code/symbols/images/symbol_table.h"

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/linux/loaded_objects.h"
#include "base/testing/file_contents.h"
#include "code/symbols/images/code_range.h"
#include "code/symbols/images/loaded_images.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

// FUNCTION name, bytes: that many no-ops.
asm(R"(
    .macro FUNCTION name, bytes
    .type \name, @function
\name:
    .fill \bytes, 1, 0x90
    .size \name, . - \name
    .endm

    .pushsection .text.symbol_table_test, "ax", @progbits
    .globl TableSplit
    FUNCTION TableSplit, 16
    FUNCTION TableSplit.part.0, 8
    FUNCTION TableSplit.cold, 4
    FUNCTION TableSplit.part.0.cold, 4
    FUNCTION TableOrphan.constprop.0, 8

    .globl TableOuter
    .type TableOuter, @function
TableOuter:
    .fill 4, 1, 0x90
    FUNCTION table_inner, 4
    .fill 8, 1, 0x90
    .size TableOuter, . - TableOuter

    # Two names, one weak; the size is known to one of them only.
    .globl TableTwoNames
    .weak TableOtherName
    .type TableTwoNames, @function
    .type TableOtherName, @function
TableTwoNames:
TableOtherName:
    .fill 8, 1, 0x90
    .size TableOtherName, 8

    # No size, but unwind information.
    .globl TableUnwound
    .type TableUnwound, @function
TableUnwound:
    .cfi_startproc
    .fill 12, 1, 0x90
    .cfi_endproc

    # Unwind information, but no symbol; then neither.
    .globl table_unnamed
table_unnamed:
    .cfi_startproc
    .byte 0x0f, 0x1f, 0x44, 0x00, 0x00
    .fill 3, 1, 0x90
    .cfi_endproc
    .globl table_unknown
table_unknown:
    .fill 8, 1, 0x90
    .popsection
)");

extern "C" {
void TableSplit();
void TableOuter();
void TableTwoNames();
void TableUnwound();
void table_unnamed();
void table_unknown();
}

namespace instar {
namespace code_internal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StrEq;

const LoadedImage& Program() {
  static auto& images =
      *new std::shared_ptr<const LoadedImages>(LoadedImages::Current());
  return images->images()[0];
}

const SymbolTable& Table() { return *Program().symbols; }

uintptr_t AddressOf(void (*function)()) {
  return reinterpret_cast<uintptr_t>(function) - Program().load_base;
}

// The main name of the function that has code there; "?" if none.
std::string NameAt(uintptr_t address) {
  const FunctionRecord* function = Table().FindFunction(address);
  if (function == nullptr) return "?";
  const auto names = Table().names(*function);
  return names.empty() ? "" : names[0];
}

TEST(SymbolTable, WhatWasSplitOffBelongsToItsFunction) {
  const uintptr_t entry = AddressOf(TableSplit);
  const FunctionRecord* function = Table().FindEntry(entry);
  ASSERT_NE(function, nullptr);
  EXPECT_EQ(function->size, 16u);
  EXPECT_EQ(function->binding, SymbolBinding::kGlobal);
  EXPECT_THAT(Table().ranges(*function),
              ElementsAre(CodeRange{entry, entry + 16},
                          CodeRange{entry + 16, entry + 24},
                          CodeRange{entry + 24, entry + 28},
                          CodeRange{entry + 28, entry + 32}));
  EXPECT_THAT(Table().clones(*function),
              ElementsAre(StrEq("TableSplit.part.0")));
  for (uintptr_t offset = 0; offset < 32; ++offset) {
    EXPECT_EQ(NameAt(entry + offset), "TableSplit") << offset;
  }
  // A copy whose function is gone is a function of its own.
  EXPECT_EQ(NameAt(entry + 32), "TableOrphan.constprop.0");
}

TEST(SymbolTable, TheInnermostFunctionIsFound) {
  const uintptr_t entry = AddressOf(TableOuter);
  EXPECT_EQ(NameAt(entry + 3), "TableOuter");
  EXPECT_EQ(NameAt(entry + 4), "table_inner");
  EXPECT_EQ(NameAt(entry + 7), "table_inner");
  EXPECT_EQ(NameAt(entry + 8), "TableOuter");
  EXPECT_EQ(NameAt(entry + 15), "TableOuter");
}

TEST(SymbolTable, TheStrongNameComesFirst) {
  const FunctionRecord* function = Table().FindEntry(AddressOf(TableTwoNames));
  ASSERT_NE(function, nullptr);
  EXPECT_THAT(Table().names(*function),
              ElementsAre(StrEq("TableTwoNames"), StrEq("TableOtherName")));
  EXPECT_EQ(function->size, 8u);
  EXPECT_FALSE(function->has_patchable_entry);  // no unwind information
}

TEST(SymbolTable, UnwindInformationGivesSizesAndFunctions) {
  const FunctionRecord* unwound = Table().FindEntry(AddressOf(TableUnwound));
  ASSERT_NE(unwound, nullptr);
  EXPECT_EQ(unwound->size, 12u);
  EXPECT_TRUE(unwound->has_patchable_entry);
  const uintptr_t entry = AddressOf(table_unnamed);
  const FunctionRecord* unnamed = Table().FindEntry(entry);
  ASSERT_NE(unnamed, nullptr);
  EXPECT_EQ(unnamed->size, 8u);
  EXPECT_TRUE(unnamed->has_patchable_entry);
  EXPECT_EQ(NameAt(entry + 7), "");
  EXPECT_EQ(NameAt(AddressOf(table_unknown)), "?");
  EXPECT_EQ(Table().FindEntry(AddressOf(table_unknown)), nullptr);
}

TEST(SymbolTable, AddressesOutsideTheFile) {
  EXPECT_EQ(Table().FindFunction(0), nullptr);
  EXPECT_EQ(Table().FindFunction(~uintptr_t{0}), nullptr);
  EXPECT_EQ(Table().FindEntry(~uintptr_t{0}), nullptr);
}

TEST(SymbolTable, NoTwoFunctionsHaveOneEntry) {
  uintptr_t last = 0;
  for (const FunctionRecord& function : Table().functions()) {
    EXPECT_LT(last, function.entry) << NameAt(function.entry);
    last = function.entry;
  }
}

class SymbolTableFile : public testing::Test {
 protected:
  // Makes a file with these contents.
  static std::string File(const std::string& contents) {
    const std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/file";
    std::ofstream(path, std::ios::binary) << contents;
    return path;
  }
};

TEST_F(SymbolTableFile, WhatIsNoElfFileIsRefused) {
  EXPECT_EQ(SymbolTable::OfFile("/nonexistent", "x").status().code(),
            absl::StatusCode::kNotFound);
  for (const char* contents : {"", "text",
                               "\x7f"
                               "ELF"}) {
    const absl::StatusOr<std::unique_ptr<SymbolTable>> table =
        SymbolTable::OfFile(File(contents), "the file");
    EXPECT_EQ(table.status().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(table.status().message()), HasSubstr("the file"));
  }
}

// Cut anywhere, a file gives an error or fewer symbols, and nothing worse.
TEST_F(SymbolTableFile, ACutFileDoesNoHarm) {
  const std::string whole = FileContents("/proc/self/exe");
  const size_t step = whole.size() / 60;
  for (size_t size = 16; size < whole.size(); size += step) {
    const auto table =
        SymbolTable::OfFile(File(whole.substr(0, size)), "the file");
    if (!table.ok()) continue;
    EXPECT_LE((*table)->functions().size(), Table().functions().size() + 2000);
  }
}

TEST_F(SymbolTableFile, IsOpenedAgainOnlyIfItIsTheSame) {
  const std::string path = File(FileContents("/proc/self/exe"));
  const auto table = SymbolTable::OfFile(path, "the file");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ((*table)->fingerprint(), Table().fingerprint());
  EXPECT_TRUE((*table)->OpenFile().ok());
  File("another");
  EXPECT_EQ((*table)->OpenFile().status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(SymbolTable::Empty("none", "why")->OpenFile().ok());
  EXPECT_EQ(SymbolTable::Empty("none", "why")->unreadable_because(), "why");
}

// As of a file that is gone: libstdc++, which exports thousands, and the
// program, which may export none.
TEST(SymbolTable, OfWhatLiesInMemory) {
  int seen = 0;
  ForEachLoadedObject(
      [](dl_phdr_info* info, size_t, void* count) {
        const auto file = SymbolTable::OfFile(
            info->dlpi_name[0] == '\0' ? "/proc/self/exe" : info->dlpi_name,
            "file");
        if (!file.ok()) return 0;  // the kernel's vDSO
        ++*static_cast<int*>(count);
        const auto memory = SymbolTable::OfLoaded(
            "memory", {{info->dlpi_phdr, info->dlpi_phnum}, info->dlpi_addr},
            "", "it is gone");
        EXPECT_TRUE(memory.ok()) << memory.status();
        if (!memory.ok()) return 1;
        EXPECT_EQ((*memory)->fingerprint(), (*file)->fingerprint());
        EXPECT_EQ((*memory)->unreadable_because(), "it is gone");
        EXPECT_FALSE((*memory)->has_local_symbols());
        for (const FunctionRecord& function : (*file)->functions()) {
          if (!function.is_exported) continue;
          const FunctionRecord* const same =
              (*memory)->FindEntry(function.entry);
          EXPECT_NE(same, nullptr) << info->dlpi_name;
          if (same == nullptr) return 1;
          EXPECT_TRUE(same->is_exported);
          EXPECT_GE(same->name_count, 1u);
        }
        return 0;
      },
      &seen);
  EXPECT_GE(seen, 3);
}

}  // namespace
}  // namespace code_internal
}  // namespace instar
