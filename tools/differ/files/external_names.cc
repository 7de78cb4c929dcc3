// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "tools/differ/files/external_names.h"

#include <elf.h>

namespace instar {
namespace differ {

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

}  // namespace differ
}  // namespace instar
