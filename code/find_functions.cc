// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/find_functions.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/types/span.h"
#include "code/identifier_index.h"
#include "code/image_copy.h"
#include "code/inlined_copies.h"
#include "code/loaded_images.h"
#include "code/symbol_name.h"
#include "code/symbol_table.h"

namespace instar {

using code_internal::Demangle;
using code_internal::FunctionRecord;
using code_internal::IdentifierIndex;
using code_internal::InlinedCopyTable;
using code_internal::LoadedImage;
using code_internal::LoadedImages;
using code_internal::SymbolTable;

namespace {

std::unique_ptr<IdentifierIndex> IndexOf(const SymbolTable& symbols) {
  auto index = std::make_unique<IdentifierIndex>();
  uint32_t number = 0;
  for (const FunctionRecord& record : symbols.functions()) {
    for (const char* name : symbols.names(record)) index->Add(name, number);
    ++number;
  }
  index->Finish();
  return index;
}

struct InlinedNames {
  explicit InlinedNames(const SymbolTable& symbols) {
    InlinedCopyTable::Of(symbols).ForEachName(
        [this](const std::string& name,
               absl::Span<const InlinedCopyTable::Copy> copies) {
          index.Add(name, static_cast<uint32_t>(names.size()));
          names.push_back(name);
          all_copies.push_back(copies);
        });
    index.Finish();
  }

  std::vector<absl::string_view> names;  // in an order of their own
  std::vector<absl::Span<const InlinedCopyTable::Copy>> all_copies;
  IdentifierIndex index;
};

// Kept for as long as the process lives, as the tables that they refer to.
template <typename T, typename Make>
const T& KeptFor(const SymbolTable& symbols, Make make) {
  static std::mutex& mutex = *new std::mutex;
  static auto& all =
      *new absl::flat_hash_map<const SymbolTable*, std::unique_ptr<const T>>;
  std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<const T>& kept = all[&symbols];
  if (kept == nullptr) kept = make();
  return *kept;
}

const IdentifierIndex& FunctionsOf(const SymbolTable& symbols) {
  return KeptFor<IdentifierIndex>(symbols, [&] { return IndexOf(symbols); });
}
const InlinedNames& InlinedNamesOf(const SymbolTable& symbols) {
  return KeptFor<InlinedNames>(
      symbols, [&] { return std::make_unique<InlinedNames>(symbols); });
}

// Kept: the same few are found at each update.
const std::string& ReadableName(absl::string_view linkage_name) {
  static std::mutex& mutex = *new std::mutex;
  static auto& names =
      *new absl::flat_hash_map<std::string, std::unique_ptr<std::string>>;
  std::lock_guard<std::mutex> lock(mutex);
  const auto known = names.find(linkage_name);
  if (known != names.end()) return *known->second;
  return *names
              .emplace(linkage_name,
                       std::make_unique<std::string>(Demangle(linkage_name)))
              .first->second;
}

// Calls visit(number) for those that may have one of the parts in their name.
template <typename Visitor>
void ForEachCandidate(const IdentifierIndex& index, size_t count,
                      const std::vector<std::string>& parts, Visitor visit) {
  if (parts.empty()) {
    for (uint32_t i = 0; i < count; ++i) visit(i);
    return;
  }
  for (const uint32_t i : index.Candidates(parts)) visit(i);
}

std::string WhyUnknown(const LoadedImage& image, bool has_found,
                       bool is_unread) {
  const SymbolTable& symbols = *image.symbols;
  const bool is_asked =
      image.is_program ||
      code_internal::FindImageOriginal(image.name).has_value();
  if (!symbols.unreadable_because().empty() && is_asked) {
    return symbols.unreadable_because();
  }
  if (!symbols.has_local_symbols() && (is_asked || has_found)) {
    return "it was stripped of symbols";
  }
  return is_unread ? "its debug information has not been read yet" : "";
}

}  // namespace

FoundFunctions FindFunctions(
    absl::FunctionRef<bool(absl::string_view linkage_name)> matches,
    const FindOptions& options) {
  FoundFunctions found;
  // Readable: debug information gives a constructor another linkage name (C4)
  // than its code has.
  absl::flat_hash_set<absl::string_view> names;
  const std::shared_ptr<const LoadedImages> images = LoadedImages::Current();
  const FunctionMap map = FunctionMap::Preload();
  const bool reads =
      options.read_debug_information ||
      !InlinedCopyTable::IsRead(*images->images().front().symbols);
  std::vector<const LoadedImage*> read;
  for (const LoadedImage& image : images->images()) {
    const SymbolTable& symbols = *image.symbols;
    const size_t before = found.functions.size();
    ForEachCandidate(FunctionsOf(symbols), symbols.functions().size(),
                     options.parts, [&](uint32_t number) {
                       const FunctionRecord& record =
                           symbols.functions()[number];
                       const auto all = symbols.names(record);
                       if (!std::any_of(all.begin(), all.end(), matches))
                         return;
                       // Nothing, if the object has been unloaded meanwhile.
                       const std::optional<Function> function =
                           map.Containing(image.load_base + record.entry);
                       if (!function.has_value()) return;
                       found.functions.push_back(*function);
                       for (const char* name : all)
                         names.insert(ReadableName(name));
                     });
    const bool is_read = reads || InlinedCopyTable::IsRead(symbols);
    if (is_read) read.push_back(&image);
    std::string why =
        WhyUnknown(image, found.functions.size() != before, !is_read);
    if (!why.empty()) {
      found.unknown.push_back(
          {symbols.name(), image.code, image.is_program, std::move(why)});
    }
  }
  std::sort(found.functions.begin(), found.functions.end());
  for (const LoadedImage* image : read) {
    const InlinedNames& inlined = InlinedNamesOf(*image->symbols);
    ForEachCandidate(
        inlined.index, inlined.names.size(), options.parts,
        [&](uint32_t number) {
          const absl::string_view name = inlined.names[number];
          if (!matches(name) || names.contains(ReadableName(name))) return;
          for (const auto& copy : inlined.all_copies[number]) {
            const std::optional<Function> into =
                map.Containing(image->load_base + copy.into->entry);
            if (!into.has_value()) continue;
            found.inlined.push_back({ReadableName(name),
                                     {*into,
                                      {image->load_base + copy.range.begin,
                                       image->load_base + copy.range.end}}});
          }
        });
  }
  return found;
}

void PreloadFindFunctions() {
  const std::shared_ptr<const LoadedImages> images = LoadedImages::Current();
  for (const LoadedImage& image : images->images()) {
    FunctionsOf(*image.symbols);
    InlinedNamesOf(*image.symbols);
  }
}

}  // namespace instar
