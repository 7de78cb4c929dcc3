// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/internal/interceptable_entries.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "code/symbols/images/loaded_images.h"

namespace instar {
namespace code_internal {
namespace {

// The name of a complete, base or deleting destructor without parameters, as
// all are (Itanium C++ ABI, 5.1.4.3).
bool IsDestructor(absl::string_view name) {
  return absl::EndsWith(name, "D0Ev") || absl::EndsWith(name, "D1Ev") ||
         absl::EndsWith(name, "D2Ev");
}

// The entries of an image that may be intercepted.
std::vector<uintptr_t> FindInterceptable(const PatchableImage& image) {
  std::vector<uintptr_t> entries;
  if (image.entries.empty()) return entries;
  const auto symbols = LoadedImages::Current();
  const LoadedImage* const loaded = symbols->Find(image.entries.front());
  if (loaded == nullptr) return entries;
  for (const uintptr_t entry : image.entries) {
    const auto* const function =
        loaded->symbols->FindEntry(entry - loaded->load_base);
    if (function == nullptr || function->binding != SymbolBinding::kGlobal) {
      continue;
    }
    const auto names = loaded->symbols->names(*function);
    if (std::none_of(names.begin(), names.end(),
                     [](const char* name) { return IsDestructor(name); })) {
      entries.push_back(entry);
    }
  }
  return entries;
}

// Under CodeLock. Never destroyed. Images are few.
std::map<uint64_t, std::shared_ptr<const EntryRecords>>& ByImage() {
  static auto& by_image =
      *new std::map<uint64_t, std::shared_ptr<const EntryRecords>>();
  return by_image;
}

}  // namespace

EntryRecords RecordsOf(const CodeLock&, const std::vector<uintptr_t>& entries) {
  EntryRecords records;
  records.reserve(entries.size());
  for (const uintptr_t entry : entries) {
    records.push_back(FindOrMakeEntryRecord(entry));
  }
  return records;
}

absl::Status CheckMayThrow(const Function& function) {
  if (function.binding() != SymbolBinding::kGlobal) {
    return absl::FailedPreconditionError(absl::StrCat(
        function.name(),
        " cannot be intercepted: it is file-local, inline or a template, so "
        "that its callers may have been compiled as if it threw nothing"));
  }
  for (const char* const name : function.linkage_names()) {
    if (!IsDestructor(name)) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(function.name(),
                     " cannot be intercepted: a destructor must not throw"));
  }
  return absl::OkStatus();
}

std::shared_ptr<const EntryRecords> InterceptableRecords::Of(
    const PatchableImage& image) {
  {
    CodeLock lock;
    const auto known = ByImage().find(image.number);
    if (known != ByImage().end()) return known->second;
  }
  // Not under the lock: this reads files, and takes locks of its own.
  const std::vector<uintptr_t> entries = FindInterceptable(image);
  CodeLock lock;
  return ByImage()
      .emplace(image.number,
               std::make_shared<const EntryRecords>(RecordsOf(lock, entries)))
      .first->second;
}

void InterceptableRecords::Retain(const PatchableEntries& loaded) {
  CodeLock lock;
  for (auto at = ByImage().begin(); at != ByImage().end();) {
    const uint64_t number = at->first;
    const bool is_loaded =
        std::any_of(loaded.images().begin(), loaded.images().end(),
                    [number](const PatchableImage& image) {
                      return image.number == number;
                    });
    at = is_loaded ? std::next(at) : ByImage().erase(at);
  }
}

}  // namespace code_internal
}  // namespace instar
