// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "manager/module/own_program.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <unistd.h>

#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/linux/loaded_objects.h"
#include "base/linux/translator.h"
#include "manager/module/elf_image.h"

namespace instar {
namespace {

// Of the first image, which is the program.
int ReadBuildId(dl_phdr_info* info, size_t, void* result) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_NOTE || segment.p_align > 4) continue;
    manager_internal::ForEachNoteIn(
        {reinterpret_cast<const char*>(info->dlpi_addr + segment.p_vaddr),
         segment.p_memsz},
        [result](absl::string_view owner, std::uint32_t type,
                 absl::string_view descriptor) {
          if (owner == "GNU" && type == NT_GNU_BUILD_ID) {
            *static_cast<std::string*>(result) =
                manager_internal::HexDigits(descriptor);
          }
        });
  }
  return 1;
}

}  // namespace

const std::string& OwnBuildId() {
  static const std::string& build_id = *[] {
    auto* const result = new std::string;
    ForEachLoadedObject(ReadBuildId, result);
    return result;
  }();
  return build_id;
}

const std::string& OwnProgramName() {
  static const std::string& name = *[] {
    char path[PATH_MAX];
    const ssize_t length = readlink(OwnProgramLink(), path, sizeof(path));
    std::string result =
        length > 0 ? std::string(path, length) : program_invocation_short_name;
    // A program that was rebuilt since it started.
    constexpr char kDeleted[] = " (deleted)";
    const size_t suffix = result.rfind(kDeleted);
    if (suffix != std::string::npos &&
        suffix + sizeof(kDeleted) - 1 == result.size()) {
      result.resize(suffix);
    }
    return new std::string(result.substr(result.rfind('/') + 1));
  }();
  return name;
}

}  // namespace instar
