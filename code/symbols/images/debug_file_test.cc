// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/images/debug_file.h"

#include <link.h>

#include <filesystem>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/linux/loaded_objects.h"
#include "code/symbols/images/elf_notes.h"
#include "gtest/gtest.h"

namespace instar {
namespace code_internal {
namespace {

// Of the program, from its memory.
std::string OwnBuildId() {
  std::string id;
  ForEachLoadedObject(
      [](dl_phdr_info* info, size_t, void* result) {
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const ElfW(Phdr)& segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_NOTE) continue;
          const absl::string_view found = BuildIdIn(
              {reinterpret_cast<const char*>(info->dlpi_addr + segment.p_vaddr),
               segment.p_filesz});
          if (!found.empty()) {
            *static_cast<std::string*>(result) = std::string(found);
          }
        }
        return 1;
      },
      &id);
  return id;
}

TEST(DebugFileTest, IsFoundByBuildId) {
  const std::string id = OwnBuildId();
  ASSERT_EQ(id.size(), 20u);
  const std::string folder = absl::StrCat(testing::TempDir(), "/debug");
  EXPECT_EQ(FindDebugFileOf(id, folder), "");
  const std::string hex = absl::BytesToHexString(id);
  const std::string path = absl::StrCat(folder, "/.build-id/", hex.substr(0, 2),
                                        "/", hex.substr(2), ".debug");
  std::filesystem::create_directories(
      std::filesystem::path(path).parent_path());
  std::filesystem::copy_file("/proc/self/exe", path);
  EXPECT_EQ(FindDebugFileOf(id, folder), path);
  // Another file has got its name.
  std::filesystem::copy_file("/bin/true", path,
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(FindDebugFileOf(id, folder), "");
}

}  // namespace
}  // namespace code_internal
}  // namespace instar
