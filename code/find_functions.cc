// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/find_functions.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "code/inlined_copies.h"
#include "code/loaded_images.h"
#include "code/symbol_name.h"
#include "code/symbol_table.h"

namespace instar {

using code_internal::Demangle;
using code_internal::FunctionRecord;
using code_internal::InlinedCopyTable;
using code_internal::LoadedImage;
using code_internal::LoadedImages;
using code_internal::SymbolTable;

FoundFunctions FindFunctions(
    absl::FunctionRef<bool(absl::string_view linkage_name)> matches) {
  FoundFunctions found;
  // Readable: debug information gives a constructor another linkage name (C4)
  // than its code has.
  absl::flat_hash_set<std::string> names;
  const std::shared_ptr<const LoadedImages> images = LoadedImages::Current();
  const FunctionMap map = FunctionMap::Preload();
  for (const LoadedImage& image : images->images()) {
    const SymbolTable& symbols = *image.symbols;
    const std::size_t before = found.functions.size();
    for (const FunctionRecord& record : symbols.functions()) {
      const auto all = symbols.names(record);
      if (!std::any_of(all.begin(), all.end(), matches)) continue;
      // Nothing, if the object has been unloaded meanwhile.
      const std::optional<Function> function =
          map.Containing(image.load_base + record.entry);
      if (!function.has_value()) continue;
      found.functions.push_back(*function);
      for (const char* name : all) names.insert(Demangle(name));
    }
    if (!symbols.unreadable_because().empty() && image.is_program) {
      found.stripped.push_back(absl::StrCat(symbols.name(), " (",
                                            symbols.unreadable_because(), ")"));
    } else if (!symbols.has_local_symbols() &&
               (image.is_program || found.functions.size() != before)) {
      found.stripped.push_back(symbols.name());
    }
  }
  std::sort(found.functions.begin(), found.functions.end());
  for (const LoadedImage& image : images->images()) {
    InlinedCopyTable::Of(*image.symbols)
        .ForEachName([&](const std::string& name,
                         absl::Span<const InlinedCopyTable::Copy> copies) {
          if (!matches(name) || names.contains(Demangle(name))) return;
          for (const InlinedCopyTable::Copy& copy : copies) {
            const std::optional<Function> into =
                map.Containing(image.load_base + copy.into->entry);
            if (!into.has_value()) continue;
            found.inlined.push_back({Demangle(name),
                                     {*into,
                                      {image.load_base + copy.range.begin,
                                       image.load_base + copy.range.end}}});
          }
        });
  }
  return found;
}

}  // namespace instar
