// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// What a loaded module consists of, by distances from its first byte: nothing
// here is an address of it. Internal to manager/module.

#ifndef INSTAR_MANAGER_MODULE_SCAN_MODULE_MAP_H_
#define INSTAR_MANAGER_MODULE_SCAN_MODULE_MAP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "manager/module/elf_image.h"

namespace instar {
namespace manager_internal {

struct ModuleMap {
  // Of the image of a whole file.
  explicit ModuleMap(const ElfImage& image);

  // "shop::Price(int)"; "its constants" or "its variables" of what has no name.
  std::string NameAt(std::uint64_t offset) const;

  struct Part {
    std::uint64_t begin;
    std::uint64_t end;
    std::string name;  // linkage name, or that of the section
    bool is_code;
  };
  // What others than the dynamic linker and unwinders could refer to: code,
  // constants, variables, with the address behind each section, and the names
  // that dladdr() tells.
  std::vector<Part> sections;
  std::vector<Part> symbols;  // in ascending order
  bool has_thread_locals;
};

}  // namespace manager_internal
}  // namespace instar

#endif  // INSTAR_MANAGER_MODULE_SCAN_MODULE_MAP_H_
