// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// This very program is what is mapped.

#include "manager/module/scan/module_map.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "manager/module/elf_image.h"

extern "C" {
extern const char __ehdr_start;
extern int module_map_variable;
__attribute__((section(".init_calls"))) int module_map_variable = 1;
__attribute__((noinline)) int module_map_function() {
  return module_map_variable;
}
}

namespace instar {
namespace manager_internal {
namespace {

std::uint64_t OffsetOf(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) -
         reinterpret_cast<std::uintptr_t>(&__ehdr_start);
}

class ModuleMapTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ASSERT_GE(file, 0);
    struct stat status;
    ASSERT_EQ(fstat(file, &status), 0);
    absl::StatusOr<ElfImage> image =
        ElfImage::Read(file, static_cast<std::size_t>(status.st_size),
                       ElfImage::Part::kWholeFile);
    close(file);
    ASSERT_TRUE(image.ok()) << image.status();
    image_.emplace(*std::move(image));
    map_.emplace(*image_);
  }

  bool IsIn(std::uint64_t offset) const {
    return std::any_of(map_->sections.begin(), map_->sections.end(),
                       [offset](const ModuleMap::Part& part) {
                         return part.begin <= offset && offset < part.end;
                       });
  }
  const ElfImage::SectionHeader* Find(const char* name) const {
    for (const ElfImage::SectionHeader& section : image_->SectionHeaders()) {
      if (section.name == name) return &section;
    }
    return nullptr;
  }

  std::optional<ElfImage> image_;
  std::optional<ModuleMap> map_;
};

TEST_F(ModuleMapTest, Code) {
  const std::uint64_t at =
      OffsetOf(reinterpret_cast<const void*>(&module_map_function));
  EXPECT_TRUE(IsIn(at));
  EXPECT_EQ(map_->NameAt(at), "module_map_function");
}

// Its section is named as those that only the dynamic linker reads, and is none
// of them.
TEST_F(ModuleMapTest, AVariableInASectionOfItsOwn) {
  EXPECT_TRUE(IsIn(OffsetOf(&module_map_variable)));
}

TEST_F(ModuleMapTest, TheAddressBehindTheLast) {
  const ElfImage::SectionHeader* const code = Find(".text");
  ASSERT_NE(code, nullptr);
  EXPECT_TRUE(IsIn(code->address + code->size));
}

TEST_F(ModuleMapTest, WhatDladdrTellsOf) {
  Dl_info info;
  ASSERT_NE(dladdr(reinterpret_cast<const void*>(&module_map_function), &info),
            0);
  ASSERT_STREQ(info.dli_sname, "module_map_function");
  EXPECT_TRUE(IsIn(OffsetOf(info.dli_sname)));
  EXPECT_EQ(map_->NameAt(OffsetOf(info.dli_sname)), "names of it");
}

TEST_F(ModuleMapTest, NotWhatTheDynamicLinkerAndUnwindersHave) {
  EXPECT_FALSE(IsIn(0));
  for (const char* name : {".dynamic", ".gnu.hash", ".gnu.version_r",
                           ".rela.dyn", ".eh_frame", ".eh_frame_hdr"}) {
    const ElfImage::SectionHeader* const section = Find(name);
    ASSERT_NE(section, nullptr) << name;
    EXPECT_FALSE(IsIn(section->address)) << name;
    EXPECT_FALSE(IsIn(section->address + section->size / 2)) << name;
  }
}

}  // namespace
}  // namespace manager_internal
}  // namespace instar
