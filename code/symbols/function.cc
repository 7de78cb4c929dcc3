// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0

#include "code/symbols/function.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/fork_mutex.h"
#include "base/linux/image_pin.h"
#include "base/status_macros.h"
#include "code/symbols/images/kept.h"
#include "code/symbols/images/loaded_images.h"
#include "code/symbols/images/name_index.h"
#include "code/symbols/images/symbol_name.h"
#include "code/symbols/inlining/inlined_copies.h"
#include "code/symbols/inlining/inlined_everywhere.h"
#include "code/symbols/inlining/undescribed_code.h"

namespace instar {

using code_internal::FunctionRecord;
using code_internal::InlinedCopyTable;
using code_internal::LoadedImage;
using code_internal::LoadedImages;
using code_internal::NameIndex;
using code_internal::SymbolKind;
using code_internal::SymbolTable;

namespace {

// The names that debug information may give to copies of the function with this
// linkage name: GCC calls constructors and destructors C4 and D4 there,
// whatever their variants are called where they are defined.
std::vector<std::string> InlinedSpellings(absl::string_view name) {
  std::vector<std::string> spellings = {std::string(name)};
  for (size_t i = 0; i + 2 < name.size(); ++i) {
    if ((name[i] != 'C' && name[i] != 'D') || name[i + 2] != 'E' ||
        name[i + 1] < '0' || name[i + 1] > '2') {
      continue;
    }
    spellings.emplace_back(name);
    spellings.back()[i + 1] = '4';
  }
  return spellings;
}

// Without the message where there is no memory for it either.
absl::Status OutOfMemory(const char* message) try {
  return absl::ResourceExhaustedError(message);
} catch (const std::bad_alloc&) {
  return absl::Status(absl::StatusCode::kResourceExhausted, "");
}

}  // namespace

absl::StatusOr<Function> Function::AtEntry(uintptr_t entry) {
  const std::shared_ptr<const LoadedImages> images = LoadedImages::Current();
  const LoadedImage* image = images->Find(entry);
  if (image == nullptr) {
    return absl::NotFoundError(absl::StrFormat(
        "%#x is in no program or shared object that is loaded", entry));
  }
  const uintptr_t address = entry - image->load_base;
  if (const FunctionRecord* record = image->symbols->FindEntry(address)) {
    return Function(image->symbols, record, image->load_base);
  }
  if (const FunctionRecord* record = image->symbols->FindFunction(address)) {
    const Function inside(image->symbols, record, image->load_base);
    return absl::NotFoundError(absl::StrFormat(
        "%#x is not the start of a function: it is %d bytes into %s", entry,
        entry - inside.entry(), inside.name()));
  }
  return absl::NotFoundError(absl::StrFormat(
      "no function starts at %#x in %s%s. If this is the address of a function "
      "of another object, compile the code that takes it with -fPIC",
      entry, image->symbols->name(),
      image->symbols->unreadable_because().empty()
          ? ""
          : absl::StrCat(" (", image->symbols->unreadable_because(), ")")));
}

absl::StatusOr<Function> Function::Containing(uintptr_t pc) {
  const FunctionMap map = FunctionMap::Preload();
  if (const std::optional<Function> function = map.Containing(pc)) {
    return *function;
  }
  return absl::NotFoundError(
      absl::StrFormat("no function is known to have code at %#x", pc));
}

absl::StatusOr<Function> Function::Named(absl::string_view name,
                                         absl::string_view image) {
  const std::shared_ptr<const LoadedImages> images = LoadedImages::Current();
  const absl::StatusOr<NameIndex::Match> found = NameIndex::Find(
      *images, SymbolKind::kFunction,
      code_internal::IsLambdaName(name) ? absl::StrCat(name, "::operator()")
                                        : std::string(name),
      image);
  if (absl::IsNotFound(found.status())) {
    const std::string inlined =
        code_internal::InlinedEverywhere(*images, name, image);
    return inlined.empty() ? found.status() : absl::NotFoundError(inlined);
  }
  INSTAR_ASSIGN_OR_RETURN(const NameIndex::Match match, found);
  const FunctionRecord& record = match.image->symbols->functions()[match.index];
  const Function function(match.image->symbols, &record,
                          match.image->load_base);
  if (!record.is_indirect) return function;
  const ImagePin pin = LoadedImages::Pin(*match.image);
  if (!pin.ok()) {
    return absl::NotFoundError(absl::StrCat(
        match.image->symbols->name(), ", which has ", name, ", was unloaded"));
  }
  // The resolver is made to be called whenever the name is bound.
  const auto resolver = reinterpret_cast<uintptr_t (*)()>(function.entry());
  return AtEntry(resolver());
}

absl::string_view Function::linkage_name() const {
  const absl::Span<const char* const> names = linkage_names();
  return names.empty() ? "" : names[0];
}

absl::Span<const char* const> Function::linkage_names() const {
  return table_->names(*record_);
}

std::string Function::name() const {
  if (record_->name_count == 0) {
    const absl::string_view path = image();
    return absl::StrFormat("%s+%#x", path.substr(path.rfind('/') + 1),
                           record_->entry);
  }
  return code_internal::WithStdString(code_internal::Demangle(linkage_name()));
}

absl::InlinedVector<CodeRange, 4> Function::ranges() const {
  absl::InlinedVector<CodeRange, 4> result;
  for (const CodeRange& range : table_->ranges(*record_)) {
    result.push_back({range.begin + load_base_, range.end + load_base_});
  }
  return result;
}

bool Function::Contains(uintptr_t pc) const {
  for (const CodeRange& range : table_->ranges(*record_)) {
    if (range.Contains(pc - load_base_)) return true;
  }
  return false;
}

absl::Span<const char* const> Function::clones() const {
  return table_->clones(*record_);
}

namespace {

// The loaded images that hold copies of anything.
struct ImagesWithCopies {
  // Objects in which a function may have copies that nobody knows.
  struct Unknown {
    const LoadedImage* image;
    const InlinedCopyTable* table;
  };

  // `read` false: as far as their debug information has been read.
  static std::shared_ptr<const ImagesWithCopies> Current(bool read) {
    static ForkGuarded<std::shared_ptr<const ImagesWithCopies>> latest;
    const auto locked = latest.Lock();
    auto& current = *locked;
    std::shared_ptr<const LoadedImages> images = LoadedImages::Current();
    const std::uint64_t declarations = InlinedCopyTable::declarations();
    if (current != nullptr && current->images == images &&
        current->declarations == declarations) {
      return current;
    }
    auto made = std::make_shared<ImagesWithCopies>();
    made->declarations = declarations;
    bool is_complete = true;
    for (const LoadedImage& image : images->images()) {
      if (!read && !InlinedCopyTable::IsRead(*image.symbols)) {
        is_complete = false;
        continue;
      }
      const InlinedCopyTable& table = InlinedCopyTable::Of(*image.symbols);
      if (!table.is_empty()) made->tables.emplace_back(&image, &table);
      if (!table.undescribed().empty() || !table.missing_because().empty()) {
        made->unknown.push_back({&image, &table});
      }
      if (table.missing_because().empty()) made->described.push_back(&image);
    }
    made->images = std::move(images);
    if (is_complete) current = made;
    return made;
  }

  std::shared_ptr<const LoadedImages> images;
  std::vector<std::pair<const LoadedImage*, const InlinedCopyTable*>> tables;
  std::vector<Unknown> unknown;
  // Whose debug information has been read.
  std::vector<const LoadedImage*> described;
  std::uint64_t declarations = 0;  // that the tables are of
};

bool IsWatched(const LoadedImage& image, absl::Span<const CodeRange> watched) {
  return std::any_of(watched.begin(), watched.end(),
                     [&image](const CodeRange& code) {
                       return code.begin == image.code.begin;
                     });
}

std::uint32_t HashOfName(absl::string_view name) {
  return static_cast<std::uint32_t>(absl::HashOf(name));
}

// Of all names of functions that it has or refers to, in order. Made when first
// asked for, and kept for as long as the process lives, as the table is: four
// bytes for each name.
const std::vector<std::uint32_t>& HashesOfNames(const SymbolTable& symbols) {
  static code_internal::Kept<SymbolTable, std::vector<std::uint32_t>> all;
  return all.Of(symbols, [&] {
    std::vector<std::uint32_t> hashes;
    for (const FunctionRecord& function : symbols.functions()) {
      for (const char* name : symbols.names(function)) {
        hashes.push_back(HashOfName(name));
      }
    }
    for (const auto names : {symbols.references(), symbols.definitions()}) {
      for (const char* name : names) hashes.push_back(HashOfName(name));
    }
    std::sort(hashes.begin(), hashes.end());
    hashes.shrink_to_fit();
    return hashes;
  });
}

// Whether the object may use or have a function of a name with one of these
// hashes, one that the linker has made local included. True by chance, too, of
// one name in some thousand millions: whoever asks reads more then.
bool MayHave(const SymbolTable& symbols,
             absl::Span<const std::uint32_t> hashes_of_names) {
  const std::vector<std::uint32_t>& hashes = HashesOfNames(symbols);
  return std::any_of(
      hashes_of_names.begin(), hashes_of_names.end(), [&](std::uint32_t hash) {
        return std::binary_search(hashes.begin(), hashes.end(), hash);
      });
}

// Why a function that every unit may inline can have copies that nobody knows;
// empty if it cannot. Units that were not compiled to be updatable, and that
// the linker made one file of with others, show what they use only where they
// call it.
std::string WhyCopiesAreUnknown(const Function& function,
                                const ImagesWithCopies& images,
                                absl::Span<const CodeRange> watched) {
  const absl::Span<const char* const> names = function.linkage_names();
  std::vector<std::uint32_t> hashes;
  for (const char* name : names) hashes.push_back(HashOfName(name));
  for (const LoadedImage* image : images.described) {
    if (IsWatched(*image, watched) || !MayHave(*image->symbols, hashes)) {
      continue;
    }
    const auto users = code_internal::UndescribedUsersOf(*image, names);
    if (users.empty()) continue;
    const absl::StatusOr<Function> user =
        Function::AtEntry(image->load_base + users[0]->entry);
    return absl::StrCat(
        user.ok() ? user->name() : "code without a name",
        image->is_program ? "" : absl::StrCat(" of ", image->symbols->name()),
        ", which uses it, is not updatable and was compiled without debug "
        "information");
  }
  for (const auto& [image, table] : images.unknown) {
    if (IsWatched(*image, watched)) continue;
    if (!table->undescribed().empty()) {
      return code_internal::UndescribedCode(*image->symbols, *table);
    }
    // Without any debug information it is told by what it uses, or has too.
    if (image->symbols->name() != function.image() &&
        MayHave(*image->symbols, hashes)) {
      for (const char* name : names) {
        if (image->symbols->RefersTo(name) || image->symbols->Defines(name)) {
          return absl::StrCat(image->symbols->name(),
                              ", which uses it, was compiled without debug "
                              "information");
        }
      }
    }
  }
  return "";
}

}  // namespace

absl::StatusOr<std::vector<InlinedCopy>> Function::InlinedCopies(
    bool read, absl::Span<const CodeRange> watched) const try {
  if (!read && !InlinedCopyTable::IsRead(*table_)) {
    return std::vector<InlinedCopy>();
  }
  const InlinedCopyTable& own = InlinedCopyTable::Of(*table_);
  if (!own.Keeps(linkage_name())) {
    return absl::FailedPreconditionError(
        absl::StrCat("where ", name(), " was inlined is not known: ", image(),
                     " has too many copies of such functions"));
  }
  if (!own.missing_because().empty() || !own.Describes(record_->entry)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "where ", name(), " was inlined is not known: ",
        own.missing_because().empty()
            ? "its source file was compiled without debug information"
            : own.missing_because(),
        "; build it with updatable_cc_library, or with -g, and do not strip "
        "it (bazel build --strip=never), or bring the list of its inlined "
        "copies (code/symbols/inlining/inlined_copy_list.h)"));
  }
  std::vector<InlinedCopy> copies;
  const auto add = [&copies](const SymbolTable& table, uintptr_t load_base,
                             absl::Span<const InlinedCopyTable::Copy> found) {
    for (const InlinedCopyTable::Copy& copy : found) {
      copies.push_back(
          {Function(&table, copy.into, load_base),
           {copy.range.begin + load_base, copy.range.end + load_base}});
    }
  };
  add(*table_, load_base_, own.OfEntry(record_->entry));
  if (binding() != SymbolBinding::kLocal) {
    const std::shared_ptr<const ImagesWithCopies> images =
        ImagesWithCopies::Current(read);
    // What is not `inline` is inlined in its own file at most.
    const std::string why = binding() == SymbolBinding::kWeak
                                ? WhyCopiesAreUnknown(*this, *images, watched)
                                : "";
    if (!why.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("where ", name(), " was inlined is not known: ", why,
                       "; compile all code that uses it with -g"));
    }
    for (const char* name : linkage_names()) {
      for (const std::string& spelling : InlinedSpellings(name)) {
        for (const auto& [image, table] : images->tables) {
          add(*image->symbols, image->load_base, table->OfName(spelling));
        }
      }
    }
  }
  // Two source files may describe one copy, in an inline function they share.
  std::sort(
      copies.begin(), copies.end(),
      [](const InlinedCopy& a, const InlinedCopy& b) {
        return std::make_tuple(a.into.entry(), a.range.begin, a.range.end) <
               std::make_tuple(b.into.entry(), b.range.begin, b.range.end);
      });
  copies.erase(std::unique(copies.begin(), copies.end(),
                           [](const InlinedCopy& a, const InlinedCopy& b) {
                             return a.into == b.into && a.range == b.range;
                           }),
               copies.end());
  return copies;
} catch (const std::bad_alloc&) {
  return OutOfMemory(
      "there is no memory for the debug information in which inlined copies "
      "are listed");
}

void PreloadInlinedCopies() try {
  for (const LoadedImage& image : LoadedImages::Current()->images()) {
    InlinedCopyTable::Of(*image.symbols);
  }
} catch (const std::bad_alloc&) {
  // Whoever needs them is told.
}

void PreloadNames() try {
  for (const LoadedImage& image : LoadedImages::Current()->images()) {
    NameIndex::Of(*image.symbols);
  }
} catch (const std::bad_alloc&) {
  // Whoever needs the names is told.
}

FunctionMap FunctionMap::Preload() {
  return FunctionMap(LoadedImages::Current());
}

std::optional<Function> FunctionMap::Containing(uintptr_t pc) const {
  const auto& images = *static_cast<const LoadedImages*>(images_.get());
  const LoadedImage* image = images.Find(pc);
  if (image == nullptr) return std::nullopt;
  const FunctionRecord* record =
      image->symbols->FindFunction(pc - image->load_base);
  if (record == nullptr) return std::nullopt;
  return Function(image->symbols, record, image->load_base);
}

bool FunctionMap::IsCurrent() const {
  return static_cast<const LoadedImages*>(images_.get())->IsCurrent();
}

}  // namespace instar
