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

std::string BuildIdOf(const dl_phdr_info& info) {
  std::string build_id;
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info.dlpi_phdr[i];
    if (segment.p_type != PT_NOTE || segment.p_align > 4) continue;
    manager_internal::ForEachNoteIn(
        {reinterpret_cast<const char*>(info.dlpi_addr + segment.p_vaddr),
         segment.p_memsz},
        [&build_id](absl::string_view owner, std::uint32_t type,
                    absl::string_view descriptor) {
          if (owner == "GNU" && type == NT_GNU_BUILD_ID) {
            build_id = manager_internal::HexDigits(descriptor);
          }
        });
  }
  return build_id;
}

// Of the first image, which is the program.
int ReadBuildId(dl_phdr_info* info, size_t, void* result) {
  *static_cast<std::string*>(result) = BuildIdOf(*info);
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

bool IsLoadedBuild(const std::string& build_id) {
  struct Search {
    const std::string& build_id;
    bool is_found;
  } search = {build_id, false};
  if (build_id.empty()) return false;
  ForEachLoadedObject(
      [](dl_phdr_info* info, size_t, void* argument) {
        auto& wanted = *static_cast<Search*>(argument);
        wanted.is_found = BuildIdOf(*info) == wanted.build_id;
        return wanted.is_found ? 1 : 0;
      },
      &search);
  return search.is_found;
}

}  // namespace instar
