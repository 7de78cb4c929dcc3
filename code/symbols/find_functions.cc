// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/find_functions.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "code/symbols/images/image_copy.h"
#include "code/symbols/images/kept.h"
#include "code/symbols/images/loaded_images.h"
#include "code/symbols/images/symbol_name.h"
#include "code/symbols/images/symbol_table.h"
#include "code/symbols/inlining/identifier_index.h"
#include "code/symbols/inlining/inlined_copies.h"
#include "code/symbols/inlining/undescribed_code.h"

namespace instar {

using code_internal::Demangle;
using code_internal::FunctionRecord;
using code_internal::IdentifierIndex;
using code_internal::InlinedCopyTable;
using code_internal::LoadedImage;
using code_internal::LoadedImages;
using code_internal::SymbolTable;

namespace {

// Files with fewer names are looked through: an index of them would take longer
// to make than a look at them all.
constexpr size_t kFewNames = 1024;
// Files with more names are looked through too: an index takes some 100 bytes a
// name.
constexpr size_t kManyNames = size_t{1} << 18;

bool IsIndexed(size_t names) {
  return names >= kFewNames && names <= kManyNames;
}

IdentifierIndex IndexOf(const SymbolTable& symbols) {
  IdentifierIndex index;
  uint32_t number = 0;
  for (const FunctionRecord& record : symbols.functions()) {
    for (const char* name : symbols.names(record)) index.Add(name, number);
    ++number;
  }
  index.Finish();
  return index;
}

IdentifierIndex IndexOf(const InlinedCopyTable& copies) {
  IdentifierIndex index;
  for (uint32_t i = 0; i < copies.name_count(); ++i) {
    index.Add(copies.name(i), i);
  }
  index.Finish();
  return index;
}

// Kept for as long as the process lives, as the tables that they refer to.
template <typename Table>
const IdentifierIndex& KeptIndexOf(const Table& table) {
  static code_internal::Kept<Table, IdentifierIndex> all;
  return all.Of(table, [&] { return IndexOf(table); });
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

struct FunctionSearch::Copy {
  std::string name;  // readable
  InlinedCopyTable::Copy copy;
};

// What a file has, in its own addresses, as far as it has been looked for.
struct FunctionSearch::InFile {
  std::optional<std::vector<const FunctionRecord*>> functions;
  std::optional<std::vector<Copy>> copies;
  const InlinedCopyTable* copies_of = nullptr;  // the table that has them
};

FunctionSearch::FunctionSearch(Matches matches, std::vector<std::string> parts)
    : matches_(std::move(matches)), parts_(std::move(parts)) {}
FunctionSearch::~FunctionSearch() = default;

bool FunctionSearch::HasPart(absl::string_view linkage_name) const {
  return parts_.empty() ||
         std::any_of(parts_.begin(), parts_.end(),
                     [&](const std::string& part) {
                       return absl::StrContains(linkage_name, part);
                     });
}

std::vector<const FunctionRecord*> FunctionSearch::LookForFunctions(
    const SymbolTable& symbols) const {
  std::vector<const FunctionRecord*> found;
  const absl::Span<const FunctionRecord> functions = symbols.functions();
  const auto look_at = [&](const FunctionRecord& record) {
    const auto names = symbols.names(record);
    if (std::none_of(names.begin(), names.end(), [&](const char* name) {
          return HasPart(name) && matches_(name);
        })) {
      return;
    }
    found.push_back(&record);
  };
  if (parts_.empty() || !IsIndexed(functions.size())) {
    for (const FunctionRecord& record : functions) look_at(record);
  } else {
    for (const uint32_t i : KeptIndexOf(symbols).Candidates(parts_)) {
      look_at(functions[i]);
    }
  }
  return found;
}

std::vector<FunctionSearch::Copy> FunctionSearch::LookForCopies(
    const InlinedCopyTable& table) const {
  std::vector<Copy> found;
  const auto look_at = [&](uint32_t number) {
    const absl::string_view name = table.name(number);
    if (!HasPart(name) || !matches_(name)) return;
    const std::string readable = Demangle(name);
    for (const auto& copy : table.OfNumber(number)) {
      found.push_back({readable, copy});
    }
  };
  if (parts_.empty() || !IsIndexed(table.name_count())) {
    for (uint32_t i = 0; i < table.name_count(); ++i) look_at(i);
  } else {
    for (const uint32_t i : KeptIndexOf(table).Candidates(parts_)) look_at(i);
  }
  return found;
}

FoundFunctions FunctionSearch::Find(bool read_debug_information) {
  FoundFunctions found;
  const std::shared_ptr<const LoadedImages> images = LoadedImages::Current();
  const bool reads =
      read_debug_information ||
      !InlinedCopyTable::IsRead(*images->images().front().symbols);
  std::lock_guard<ForkMutex> lock(lock_);
  if (lock_.WasLostInFork()) {
    // What it was is left as it is: it may be half changed.
    ::new (static_cast<void*>(&known_)) decltype(known_);
  }
  for (const LoadedImage& image : images->images()) {
    InFile& known = known_[image.symbols];
    if (!known.functions.has_value()) {
      known.functions = LookForFunctions(*image.symbols);
    }
    for (const FunctionRecord* record : *known.functions) {
      found.functions.push_back(
          Function(image.symbols, record, image.load_base));
    }
    const bool is_read = reads || InlinedCopyTable::IsRead(*image.symbols);
    if (is_read) {
      const InlinedCopyTable& table = InlinedCopyTable::Of(*image.symbols);
      if (known.copies_of != &table) {
        known.copies = LookForCopies(table);
        known.copies_of = &table;
      }
    }
    if (known.copies.has_value()) {
      for (const auto& [name, copy] : *known.copies) {
        found.inlined.push_back(
            {name,
             {Function(image.symbols, copy.into, image.load_base),
              {image.load_base + copy.range.begin,
               image.load_base + copy.range.end}}});
      }
    }
    std::string why = WhyUnknown(image, !known.functions->empty(), !is_read);
    if (is_read && why.empty()) {
      const InlinedCopyTable& copies = InlinedCopyTable::Of(*image.symbols);
      if (!copies.undescribed().empty()) {
        why = code_internal::UndescribedCode(*image.symbols, copies);
        // Any other object can be watched as a whole.
        if (image.is_program) {
          found.undescribed.push_back(std::exchange(why, ""));
        }
      }
    }
    if (!why.empty()) {
      found.unknown.push_back({image.symbols->name(), image.code,
                               image.is_program, std::move(why)});
    }
  }
  std::sort(found.functions.begin(), found.functions.end());
  return found;
}

FoundFunctions FindFunctions(
    absl::FunctionRef<bool(absl::string_view linkage_name)> matches,
    const FindOptions& options) {
  return FunctionSearch(matches, options.parts)
      .Find(options.read_debug_information);
}

namespace {

// What the compiler and the C library add to every shared object.
bool IsOfStart(absl::Span<const char* const> names) {
  for (const absl::string_view known :
       {"_init", "_fini", "_start", "frame_dummy", "register_tm_clones",
        "deregister_tm_clones", "__do_global_dtors_aux"}) {
    if (!names.empty() && names[0] == known) return true;
  }
  return false;
}

std::string UnknownCopiesIn(const LoadedImage& image) {
  constexpr size_t kMostNames = 3;
  const SymbolTable& symbols = *image.symbols;
  size_t count = 0;
  std::vector<std::string> names;
  for (const FunctionRecord* function :
       code_internal::UndescribedFunctions(symbols)) {
    const auto all = symbols.names(*function);
    if (!image.is_program && IsOfStart(all)) continue;
    ++count;
    if (!all.empty() && names.size() < kMostNames) {
      names.push_back(Demangle(all[0]));
    }
  }
  if (count == 0) return "";
  return absl::StrCat(count, count == 1 ? " function of " : " functions of ",
                      symbols.name(),
                      count == 1 ? " that is not updatable has"
                                 : " that are not updatable have",
                      " no debug information (", absl::StrJoin(names, ", "),
                      count > names.size() ? ", ..." : "", ")");
}

// Kept for as long as the process lives, by what is known of the object, which
// may change.
const std::string& KeptUnknownCopiesIn(const LoadedImage& image) {
  static code_internal::Kept<InlinedCopyTable, std::string> all;
  return all.Of(InlinedCopyTable::Of(*image.symbols),
                [&] { return UnknownCopiesIn(image); });
}

}  // namespace

std::string CodeOfUnknownCopies() {
  std::vector<std::string> unknown;
  for (const LoadedImage& image : LoadedImages::Current()->images()) {
    // Others are no objects of the program: they say what they use.
    if (!image.is_program && !image.symbols->has_patchable_entries()) continue;
    const std::string& found = KeptUnknownCopiesIn(image);
    if (!found.empty()) unknown.push_back(found);
  }
  return absl::StrJoin(unknown, "; ");
}

std::uint64_t KnownInlinedCopies() { return InlinedCopyTable::changes(); }

void PreloadFindFunctions() try {
  const std::shared_ptr<const LoadedImages> images = LoadedImages::Current();
  for (const LoadedImage& image : images->images()) {
    const SymbolTable& symbols = *image.symbols;
    if (IsIndexed(symbols.functions().size())) KeptIndexOf(symbols);
    const InlinedCopyTable& copies = InlinedCopyTable::Of(symbols);
    if (IsIndexed(copies.name_count())) KeptIndexOf(copies);
  }
} catch (const std::bad_alloc&) {
  // They are made when they are needed.
}

}  // namespace instar
