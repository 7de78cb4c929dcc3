// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where the functions of one ELF file have been inlined, from its debug
// information (DWARF, DW_TAG_inlined_subroutine), read once.
//
// Threads: may be used from any thread; immutable once made.

#ifndef INSTAR_CODE_INLINED_COPIES_H_
#define INSTAR_CODE_INLINED_COPIES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "code/code_range.h"
#include "code/symbol_table.h"

namespace instar {
namespace code_internal {

class InlinedCopyTable {
 public:
  struct Copy {
    const FunctionRecord* into;
    CodeRange range;  // in the addresses of the file; empty if no code is left
  };

  // The copies in this file. Made when first asked for, and kept for as long as
  // the process lives.
  static const InlinedCopyTable& Of(const SymbolTable& table);
  // Whether that has been asked for.
  static bool IsRead(const SymbolTable& table);

  // Of the function of this file that starts at `entry`.
  absl::Span<const Copy> OfEntry(uintptr_t entry) const;
  // Of the function with this linkage name, which may be defined elsewhere.
  absl::Span<const Copy> OfName(absl::string_view linkage_name) const;
  // Calls visit(linkage name, its copies) for each, in no order.
  template <typename Visitor>
  void ForEachName(Visitor&& visit) const {
    for (const auto& [name, copies] : by_name_) {
      visit(name, absl::MakeConstSpan(copies));
    }
  }

  std::size_t name_count() const { return by_name_.size(); }
  bool is_empty() const { return by_name_.empty(); }

  // Whether there is debug information on the function that starts there.
  bool Describes(uintptr_t entry) const { return described_.contains(entry); }

  // Empty, or why there is no debug information at all.
  const std::string& missing_because() const { return missing_because_; }

 private:
  class Reader;
  struct All;

  explicit InlinedCopyTable(const SymbolTable& table);

  std::string missing_because_;
  absl::flat_hash_map<uintptr_t, std::vector<Copy>> by_entry_;
  absl::flat_hash_map<std::string, std::vector<Copy>> by_name_;
  absl::flat_hash_set<uintptr_t> described_;
};

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_INLINED_COPIES_H_
