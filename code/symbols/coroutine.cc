// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/coroutine.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "code/symbols/images/kept.h"
#include "code/symbols/images/loaded_images.h"
#include "code/symbols/images/symbol_table.h"

namespace instar {
namespace {

using code_internal::LoadedImage;
using code_internal::SymbolTable;

// GCC mangles the name of the whole function into that of the part:
// _ZN4shop5ServeEPZNS_5ServeEiE22_ZN4shop5ServeEi.Frame.actor.
bool IsPartOfCoroutine(absl::string_view name, absl::string_view whole) {
  if (absl::EndsWith(name, ".actor")) {
    return absl::StrContains(name, whole);
  }
  return absl::EndsWith(name, ".resume") && absl::StartsWith(name, whole) &&
         name.size() == whole.size() + 7;
}

std::vector<const char*> PartsIn(const SymbolTable& symbols) {
  std::vector<const char*> parts;
  for (const code_internal::FunctionRecord& function : symbols.functions()) {
    for (const char* const name : symbols.names(function)) {
      if (absl::EndsWith(name, ".actor") || absl::EndsWith(name, ".resume")) {
        parts.push_back(name);
      }
    }
  }
  return parts;
}

// The same, kept for as long as the process lives, as the table is. Most
// objects have none.
absl::Span<const char* const> KeptPartsIn(const SymbolTable& symbols) {
  static code_internal::Kept<SymbolTable, std::vector<const char*>> all;
  return all.Of(symbols, [&] { return PartsIn(symbols); });
}

bool IsAnyPartOf(absl::Span<const char* const> parts,
                 const Function& function) {
  for (const char* const part : parts) {
    for (const char* const whole : function.linkage_names()) {
      if (IsPartOfCoroutine(part, whole)) return true;
    }
  }
  return false;
}

}  // namespace

bool IsCoroutine(const Function& function) {
  return !CoroutinesAmong({&function, 1}).empty();
}

std::vector<Function> CoroutinesAmong(absl::Span<const Function> functions) {
  const auto images = code_internal::LoadedImages::Current();
  std::vector<Function> coroutines;
  for (const Function& function : functions) {
    const LoadedImage* const image = images->Find(function.entry());
    if (image == nullptr) continue;
    if (IsAnyPartOf(KeptPartsIn(*image->symbols), function)) {
      coroutines.push_back(function);
    }
  }
  return coroutines;
}

}  // namespace instar
