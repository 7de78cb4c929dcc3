// Copyright The Instar Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where the functions of one ELF file have been inlined, from its debug
// information (DWARF, DW_TAG_inlined_subroutine), read once.
//
// The file is mapped while it is read, so that its size costs no memory; what
// is kept is bounded. Of a file with very many copies those of the standard
// library's functions are not kept, and of one with still more none.
//
// What is known has its limits, which are asked for: a unit that was compiled
// without debug information, or whose debug information cannot be read (it was
// split off, and the other file is gone), may hold copies of anything.
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

  // Functions of units that were compiled to be updatable, as their entries
  // show, and of which there is no debug information that can be read: their
  // code may hold copies that nobody knows.
  absl::Span<const FunctionRecord* const> undescribed() const {
    return undescribed_;
  }
  // Whether the debug information of a unit says of this code what it is.
  bool Covers(uintptr_t address) const;
  // Whether copies of this function would be listed: those of the standard
  // library are left out if there are too many.
  bool Keeps(absl::string_view linkage_name) const;
  // Why the debug information of some units cannot be read; empty if there is
  // none that cannot.
  const std::string& unreadable_units() const { return unreadable_units_; }

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
  void Read(const SymbolTable& table);
  void FindUndescribed(const SymbolTable& table);
  void Clear(std::string why);

  std::string missing_because_;
  std::string unreadable_units_;
  bool is_without_library_ = false;
  std::vector<CodeRange> covered_;  // in order, apart
  std::vector<const FunctionRecord*> undescribed_;
  absl::flat_hash_map<uintptr_t, std::vector<Copy>> by_entry_;
  absl::flat_hash_map<std::string, std::vector<Copy>> by_name_;
  absl::flat_hash_set<uintptr_t> described_;
};

// What InlinedCopyTable::undescribed() found, for people: "3 functions of
// /usr/bin/shop (shop::Total(), ...) were compiled without debug information".
std::string UndescribedCode(const SymbolTable& symbols,
                            const InlinedCopyTable& table);

}  // namespace code_internal
}  // namespace instar

#endif  // INSTAR_CODE_INLINED_COPIES_H_
