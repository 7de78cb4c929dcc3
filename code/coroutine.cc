// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/coroutine.h"

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "code/loaded_images.h"
#include "code/symbol_table.h"

namespace instar {
namespace {

// GCC mangles the name of the whole function into that of the part:
// _ZN4shop5ServeEPZNS_5ServeEiE22_ZN4shop5ServeEi.Frame.actor.
bool IsPartOfCoroutine(absl::string_view name, absl::string_view whole) {
  if (absl::EndsWith(name, ".actor")) {
    return absl::StrContains(name, whole);
  }
  return absl::EndsWith(name, ".resume") && absl::StartsWith(name, whole) &&
         name.size() == whole.size() + 7;
}

}  // namespace

bool IsCoroutine(const Function& function) {
  const auto images = code_internal::LoadedImages::Current();
  const code_internal::LoadedImage* const image =
      images->Find(function.entry());
  if (image == nullptr) return false;
  for (const code_internal::FunctionRecord& other :
       image->symbols->functions()) {
    for (const char* const name : image->symbols->names(other)) {
      for (const char* const whole : function.linkage_names()) {
        if (IsPartOfCoroutine(name, whole)) return true;
      }
    }
  }
  return false;
}

}  // namespace instar
