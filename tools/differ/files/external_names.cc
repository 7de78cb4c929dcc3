// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/files/external_names.h"

#include <elf.h>

namespace instar {
namespace differ {
namespace {

// What each program has from the C library's own objects.
bool IsOfEveryProgram(absl::string_view name) {
  return name == "_start" || name == "_init" || name == "_fini" ||
         name == "_IO_stdin_used" || name == "__libc_csu_init" ||
         name == "__libc_csu_fini";
}

}  // namespace

ExternalNames ExternalNamesOf(const ElfFile& object) {
  ExternalNames names;
  names.file = object.file();
  for (const Symbol& symbol : object.symbols()) {
    if (symbol.is_local() || symbol.name.empty()) continue;
    if (symbol.section == kUndefined) {
      if (symbol.binding != STB_WEAK) names.used.push_back(symbol.name);
      continue;
    }
    names.defined.push_back(symbol.name);
    if (symbol.binding == STB_GLOBAL &&
        (symbol.section >= object.sections().size() ||
         object.sections()[symbol.section].group.empty())) {
      names.exclusive.push_back(symbol.name);
    }
  }
  return names;
}

std::vector<absl::string_view> NamesOfImage(const ElfFile& image) {
  std::vector<absl::string_view> names;
  for (const auto* symbols : {&image.symbols(), &image.dynamic_symbols()}) {
    for (const Symbol& symbol : *symbols) {
      if (!symbol.is_local() && symbol.section != kUndefined &&
          (symbol.type == STT_FUNC || symbol.type == STT_OBJECT) &&
          !IsOfEveryProgram(symbol.name)) {
        names.push_back(symbol.name);
      }
    }
  }
  return names;
}

}  // namespace differ
}  // namespace instar
