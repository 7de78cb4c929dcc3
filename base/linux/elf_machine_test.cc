// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "base/linux/elf_machine.h"

#include <link.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>
#include <string>

#include "gtest/gtest.h"

namespace instar {
namespace {

TEST(ElfMachineTest, IsThatOfThisProgram) {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  Elf64_Ehdr header;
  ASSERT_TRUE(file.read(reinterpret_cast<char*>(&header), sizeof(header)));
  EXPECT_EQ(header.e_machine, kOwnElfMachine);
}

// The names of the symbols by which the dynamic linker fills slots of this
// program.
std::set<std::string> NamesInSlots() {
  std::set<std::string> names;
  const ElfW(Rela) * tables[2] = {};
  std::size_t sizes[2] = {};
  const ElfW(Sym)* symbols = nullptr;
  const char* strings = nullptr;
  for (const ElfW(Dyn)* entry = _DYNAMIC; entry->d_tag != DT_NULL; ++entry) {
    const auto address = entry->d_un.d_ptr;
    if (entry->d_tag == DT_RELA || entry->d_tag == DT_JMPREL) {
      tables[entry->d_tag == DT_RELA ? 0 : 1] =
          reinterpret_cast<const ElfW(Rela)*>(address);
    } else if (entry->d_tag == DT_RELASZ || entry->d_tag == DT_PLTRELSZ) {
      sizes[entry->d_tag == DT_RELASZ ? 0 : 1] = entry->d_un.d_val;
    } else if (entry->d_tag == DT_SYMTAB) {
      symbols = reinterpret_cast<const ElfW(Sym)*>(address);
    } else if (entry->d_tag == DT_STRTAB) {
      strings = reinterpret_cast<const char*>(address);
    }
  }
  for (int table = 0; table < 2; ++table) {
    for (std::size_t i = 0; i < sizes[table] / sizeof(ElfW(Rela)); ++i) {
      const ElfW(Rela)& relocation = tables[table][i];
      const auto type = ELF64_R_TYPE(relocation.r_info);
      if (type != kJumpSlotRelocation && type != kGlobalDataRelocation) {
        continue;
      }
      names.insert(strings + symbols[ELF64_R_SYM(relocation.r_info)].st_name);
    }
  }
  return names;
}

TEST(ElfMachineTest, SlotsOfFunctionsOfTheCLibraryAreFound) {
  // Called here, and defined elsewhere.
  EXPECT_GT(getppid(), -1);
  EXPECT_EQ(NamesInSlots().count("getppid"), 1u);
}

}  // namespace
}  // namespace instar
