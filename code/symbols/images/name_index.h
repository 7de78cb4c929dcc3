// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Functions and variables by name, over all images.
//
// The index of an image is made when it is first searched (demangling takes a
// microsecond a symbol) and kept for as long as the process lives. It takes 16
// bytes a name, and so at most 8 MiB: an image with more names than
// NameIndex::kMostNames has none, and is looked through whenever a name is
// sought, which takes tenths of a second.
//
// Threads: may be used from any thread.

#ifndef INSTAR_CODE_SYMBOLS_IMAGES_NAME_INDEX_H_
#define INSTAR_CODE_SYMBOLS_IMAGES_NAME_INDEX_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "code/symbols/images/loaded_images.h"
#include "code/symbols/images/symbol_table.h"

namespace instar {
namespace code_internal {

enum class SymbolKind { kFunction, kVariable };

class NameIndex {
 public:
  struct Match {
    const LoadedImage* image;
    uint32_t index;      // of image->symbols->functions() or variables()
    const char* symbol;  // the linkage name that matched
    uintptr_t address;   // in the process
    bool is_exported;
  };

  // The one that fits `name` best (symbol_name.h says what fits). `image` is
  // empty, or how the path of the image to search ends. NotFound with names
  // that resemble it; FailedPrecondition with the matches if there are several
  // and the dynamic linker does not bind the name to one of them.
  static absl::StatusOr<Match> Find(const LoadedImages& images, SymbolKind kind,
                                    absl::string_view name,
                                    absl::string_view image);

  // The index of one image.
  static const NameIndex& Of(const SymbolTable& table);

  // Of functions, and of variables, in one image.
  static constexpr size_t kMostNames = size_t{1} << 18;

  size_t bytes() const {
    return (functions_.capacity() + variables_.capacity()) * sizeof(Entry);
  }

 private:
  struct Entry {
    uint32_t hash;   // of its key (symbol_name.h)
    uint32_t index;  // of the function or variable
    const char* symbol;
  };

  explicit NameIndex(const SymbolTable& table);

  // Calls visit(index, symbol) for each name of the kind, until it is false.
  static void ForEachName(
      const SymbolTable& table, SymbolKind kind,
      absl::FunctionRef<bool(uint32_t index, const char* symbol)> visit);
  static std::vector<Entry> Make(const SymbolTable& table, SymbolKind kind);

  const std::vector<Entry>& entries(SymbolKind kind) const {
    return kind == SymbolKind::kFunction ? functions_ : variables_;
  }
  // The names whose key may be this one.
  std::vector<Entry> Candidates(SymbolKind kind, absl::string_view key) const;

  // All that fit equally well, in the order of the images.
  static std::vector<Match> FindAll(const LoadedImages& images, SymbolKind kind,
                                    absl::string_view name,
                                    absl::string_view image);
  // Readable names that resemble `name`, the nearest first.
  static std::vector<std::string> Similar(const LoadedImages& images,
                                          SymbolKind kind,
                                          absl::string_view name,
                                          absl::string_view image);
  // Says that `name` was not found, what resembles it, and which images have no
  // local symbols.
  static std::string NotFoundMessage(const LoadedImages& images,
                                     SymbolKind kind, absl::string_view name,
                                     absl::string_view image);
  // Of several matches that are all exported, the one to which the dynamic
  // linker binds the name; otherwise null. Takes locks of the dynamic linker.
  static const Match* BoundByLinker(absl::Span<const Match> matches);
  static std::string AmbiguousMessage(absl::string_view name,
                                      absl::Span<const Match> matches);

  const SymbolTable& table_;
  // By hash. Empty if there are none or too many.
  std::vector<Entry> functions_;
  std::vector<Entry> variables_;
};

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_SYMBOLS_IMAGES_NAME_INDEX_H_
